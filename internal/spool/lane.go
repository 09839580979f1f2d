package spool

import (
	"sort"
	"time"
)

// A lane is the state in memory of a lane that holds a record or is leased.
// Everything is guarded by Queue.mu.
type lane struct {
	q       *Queue
	name    string
	strands []*strand // the most urgent first

	lease *Lease
	rest  *time.Timer // not nil while the lane rests
	rests uint64      // begun, to tell a rest from the one before
	gone  bool        // purged: whoever still points here lets go

	// removing counts records that were settled but whose removal is not yet
	// applied. After a rewind the lane must not be read until it is zero: the
	// database still has what was settled.
	removing int
	rewound  bool

	inReady  bool // the readySet's, to the end
	place    int
	priority uint32
	turn     uint64
}

// next returns the most urgent strand that has something to read, or nil.
func (ln *lane) next() *strand {
	for _, st := range ln.strands {
		if st.readable() {
			return st
		}
	}
	return nil
}

// best returns the priority of the lane's next record.
func (ln *lane) best() (uint32, bool) {
	if st := ln.next(); st != nil {
		return st.key.priority, true
	}
	return 0, false
}

// empty reports whether nothing is stored or about to be stored.
func (ln *lane) empty() bool {
	for _, st := range ln.strands {
		if st.put != st.taken {
			return false
		}
	}
	return ln.removing == 0
}

func (ln *lane) live() (t tally) {
	for _, st := range ln.strands {
		t.n += st.live.n
		t.bytes += st.live.bytes
	}
	return t
}

// stored is what counts against the lane's limit: what the writer has put in and
// not yet taken out.
func (ln *lane) stored() (bytes int64) {
	for _, st := range ln.strands {
		bytes += int64(st.put.bytes - st.taken.bytes)
	}
	return bytes
}

// strand returns the lane's strand of that priority, making it if need be.
func (ln *lane) strand(priority uint32) *strand {
	i := sort.Search(len(ln.strands), func(i int) bool {
		return ln.strands[i].key.priority >= priority
	})
	if i < len(ln.strands) && ln.strands[i].key.priority == priority {
		return ln.strands[i]
	}
	st := &strand{lane: ln, key: strandKey{ln.q.name, ln.name, priority}}
	ln.strands = append(ln.strands, nil)
	copy(ln.strands[i+1:], ln.strands[i:])
	ln.strands[i] = st
	return st
}

// hold leases the lane.
func (ln *lane) hold() *Lease {
	l := &Lease{lane: ln, more: make(chan struct{}, 1), flight: make(map[uint64]flight)}
	ln.lease = l
	return l
}

// rewind sets the lane back to the first of the records in flight.
func (ln *lane) rewind(flying map[uint64]flight) {
	for seq, f := range flying {
		f.strand.rewind(seq)
	}
	ln.rewound = len(flying) > 0 && ln.removing > 0
}

// removed notes that n removals were applied.
func (ln *lane) removed(n int) {
	if ln.removing -= n; ln.removing == 0 {
		ln.rewound = false
	}
}

// sleep keeps the lane from being acquired for d.
func (ln *lane) sleep(d time.Duration) {
	ln.rests++
	this := ln.rests
	ln.rest = time.AfterFunc(d, func() { ln.q.rested(ln, this) })
}

func (ln *lane) wakeUp() {
	if ln.rest != nil {
		ln.rest.Stop()
		ln.rest = nil
	}
}
