package spool

import (
	"slices"
	"sort"
)

// A young is a record that is durable in the journal. The database gets it with the next
// checkpoint, unless it is removed before.
type young struct {
	seq     uint64
	stored  int64 // Unix milliseconds
	expires int64 // Unix milliseconds; 0: never
	before  tally // the strand's odometer before this record
	data    []byte
	shared  *shared
	gone    bool // removed, in the epoch in which it was stored
}

func (y *young) size() int64 { return int64(len(y.data)) + Overhead }

// young is the record of an entry that was stored at a time, in Unix milliseconds.
func (p *placed) young(stored int64) young {
	e := p.entry
	return young{seq: p.seq, stored: stored, expires: millis(e.Expires), before: p.before, data: e.Data, shared: p.shared}
}

func (st *strand) record(y *young) Record {
	return Record{
		Priority: st.key.priority, Stored: fromMillis(y.stored), Expires: fromMillis(y.expires),
		Data: y.data, seq: y.seq, strand: st, shared: y.shared,
	}
}

// findYoung returns the index of the first young record at or above seq.
func (st *strand) findYoung(seq uint64) int {
	return sort.Search(len(st.young), func(i int) bool { return st.young[i].seq >= seq })
}

// bury removes a young record of the epoch that began after base: the database will
// never know of it.
func (st *strand) bury(seq, base uint64) {
	i := st.findYoung(seq)
	st.young[i] = young{seq: seq, gone: true}
	n := 0
	for n < len(st.young) && st.young[n].gone && st.young[n].seq > base {
		n++
	}
	if st.young = st.young[n:]; len(st.young) == 0 {
		st.young = nil
	}
}

// graduate forgets the young records up to seq: the database has them. Of those that
// share data it is not known any more when the last of them goes.
func (st *strand) graduate(seq uint64) {
	n := st.findYoung(seq + 1)
	for i := range st.young[:n] {
		st.young[i].shared.lose()
	}
	clear(st.young[:n])
	if st.young = st.young[n:]; len(st.young) == 0 {
		st.young = nil
	}
	st.applied = max(st.applied, seq)
}

// gone are the records of a strand that were removed, and are not to be read, until a
// checkpoint has removed them from the database.
type gone struct {
	next []uint64 // by the checkpoint after
	now  []uint64 // by the one that is under way
	last uint64   // the highest of all
}

func (g *gone) add(seq uint64) {
	g.next = append(g.next, seq)
	g.last = max(g.last, seq)
}

// begin has a checkpoint remove what is there.
func (g *gone) begin() []uint64 {
	g.now, g.next = g.next, nil
	return g.now
}

// end forgets what the checkpoint has removed.
func (g *gone) end() {
	if g.now = nil; len(g.next) == 0 {
		g.last = 0
	}
}

// since returns those at or above seq.
func (g *gone) since(seq uint64) map[uint64]struct{} {
	if g.last < seq {
		return nil
	}
	found := make(map[uint64]struct{})
	for _, removed := range slices.Concat(g.now, g.next) {
		if removed >= seq {
			found[removed] = struct{}{}
		}
	}
	return found
}
