package amqp10

import "sort"

// table holds unsettled deliveries in the order of their ids, which are serial
// numbers [RFC 1982] that only rise. Its memory is proportional to what is in
// it; finding one takes a binary search, and walking a range costs no more
// than the deliveries in it, whatever range a peer names.
type table[T any] struct {
	entries []entry[T] // ids rise, counted from the first
	head    int        // all before it are gone
	live    int
}

type entry[T any] struct {
	id   uint32
	live bool
	v    T
}

// add puts in a delivery whose id follows all that are there.
func (t *table[T]) add(id uint32, v T) {
	t.entries = append(t.entries, entry[T]{id, true, v})
	t.live++
}

// oldest returns the id of the first delivery, if there is one.
func (t *table[T]) oldest() (id uint32, ok bool) {
	if t.live == 0 {
		return 0, false
	}
	return t.entries[t.head].id, true
}

// search returns the index of the first entry with an id of at least id, as
// counted from the oldest entry.
func (t *table[T]) search(id uint32) int {
	e := t.entries[t.head:]
	if len(e) == 0 {
		return t.head
	}
	base := e[0].id
	return t.head + sort.Search(len(e), func(i int) bool { return e[i].id-base >= id-base })
}

// remove takes out the delivery with this id.
func (t *table[T]) remove(id uint32) bool {
	i := t.search(id)
	if i == len(t.entries) || t.entries[i].id != id || !t.entries[i].live {
		return false
	}
	t.kill(i)
	t.compact()
	return true
}

func (t *table[T]) kill(i int) {
	t.entries[i] = entry[T]{id: t.entries[i].id}
	t.live--
}

// compact drops what is gone when it is more than half, so that removing costs
// constant time on average.
func (t *table[T]) compact() {
	for t.head < len(t.entries) && !t.entries[t.head].live {
		t.head++
	}
	if t.live > 0 && (t.live*2 >= len(t.entries) || len(t.entries) < 32) {
		return
	}
	kept := t.entries[:0]
	for _, e := range t.entries[t.head:] {
		if e.live {
			kept = append(kept, e)
		}
	}
	clear(t.entries[len(kept):])
	t.entries, t.head = kept, 0
	if cap(kept) > 256 && len(kept) == 0 {
		t.entries = nil
	}
}

// each calls f for the deliveries from first to last, in order; f returns
// whether the delivery stays.
func (t *table[T]) each(first, last uint32, f func(id uint32, v T) (keep bool)) {
	if t.live == 0 {
		return
	}
	n := last - first
	i := t.head
	if t.entries[i].id-first > n { // the oldest is not in the range
		i = t.search(first)
	}
	for ; i < len(t.entries) && t.entries[i].id-first <= n; i++ {
		if e := &t.entries[i]; e.live && !f(e.id, e.v) {
			t.kill(i)
		}
	}
	t.compact()
}

// all calls f for every delivery, in order.
func (t *table[T]) all(f func(id uint32, v T) (keep bool)) {
	if t.live > 0 {
		t.each(t.entries[t.head].id, t.entries[len(t.entries)-1].id, f)
	}
}
