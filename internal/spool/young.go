package spool

import (
	"sort"
	"sync"
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

// A nursery has an epoch's young records, many at a time: their memory is used again
// when they are gone, or the database has them.
type nursery struct {
	slabs []*slab
	free  []young  // of the last
	gone  []*young // to be used first
}

type slab [256]young

var slabs = sync.Pool{New: func() any { return new(slab) }}

// next returns an unused one.
func (n *nursery) next() *young {
	if last := len(n.gone) - 1; last >= 0 {
		y := n.gone[last]
		n.gone = n.gone[:last]
		return y
	}
	if len(n.free) == 0 {
		s := slabs.Get().(*slab)
		n.slabs = append(n.slabs, s)
		n.free = s[:]
	}
	y := &n.free[0]
	n.free = n.free[1:]
	return y
}

// close gives the memory back. Nobody may have any of the records.
func (n *nursery) close() {
	for _, s := range n.slabs {
		clear(s[:])
		slabs.Put(s)
	}
	*n = nursery{}
}

// set makes y the record of an entry that was stored at a time, in Unix milliseconds.
func (y *young) set(p *placed, stored int64) *young {
	e := p.entry
	*y = young{seq: p.seq, stored: stored, expires: millis(e.Expires), before: p.before, data: e.Data, shared: p.shared}
	return y
}

func (st *strand) record(y *young) Record {
	return Record{
		Priority: st.key.priority, Stored: fromMillis(y.stored), Expires: fromMillis(y.expires),
		Data: y.data, seq: y.seq, strand: st, shared: y.shared,
	}
}

// findYoung returns the index of the first young record at or above seq.
func (st *strand) findYoung(seq uint64) int {
	list := st.young.list()
	return sort.Search(len(list), func(i int) bool { return list[i].seq >= seq })
}

// bury removes a young record of an epoch: the database will never know of it.
func (st *strand) bury(seq uint64, e *epoch) {
	list := st.young.list()
	*list[st.findYoung(seq)] = young{seq: seq, gone: true}
	n := 0
	for n < len(list) && list[n].gone && list[n].seq > e.base {
		n++
	}
	e.nursery.gone = append(e.nursery.gone, list[:n]...)
	st.young.drop(n)
}

// graduate forgets the young records up to seq: the database has them. Of those that
// share data it is not known any more when the last of them goes.
func (st *strand) graduate(seq uint64) {
	n := st.findYoung(seq + 1)
	for _, y := range st.young.list()[:n] {
		y.shared.lose()
	}
	st.young.drop(n)
	st.applied = max(st.applied, seq)
}

// A brood is the young records of a strand, in order. What a checkpoint has of it stays
// as it is.
type brood struct {
	all  []*young
	head int // those before have left
}

// keepRoom is for how many young records a strand keeps room when it has none.
const keepRoom = 512

func (b *brood) list() []*young { return b.all[b.head:] }

func (b *brood) add(y *young) {
	if left := b.list(); b.head > 0 && len(b.all) == cap(b.all) {
		b.all, b.head = append(make([]*young, 0, 2*len(left)+16), left...), 0
	}
	b.all = append(b.all, y)
}

// drop drops the first n.
func (b *brood) drop(n int) {
	if b.head += n; b.head < len(b.all) {
		return
	}
	b.all, b.head = b.all[:0], 0
	if cap(b.all) > keepRoom {
		b.all = nil
	}
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
	for _, list := range [...][]uint64{g.now, g.next} {
		for _, removed := range list {
			if removed >= seq {
				found[removed] = struct{}{}
			}
		}
	}
	return found
}
