package spool

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// A search is for a record that shared data has.
type search struct {
	shared *shared
	place  int    // of the record looked for last
	rest   int    // records still to look for
	key    []byte // of the one to look for
}

// searchLater has the commit look for other records of the data that r was one of,
// unless one is known to be left.
func (s *Store) searchLater(r *removal) {
	w := &s.commit
	if place := int(r.seq - r.shared.first); !r.shared.untouched(place) {
		w.searches = append(w.searches, search{shared: r.shared, place: place, rest: r.shared.n - 1})
	}
}

// untouched reports whether a record other than that at place has surely not been read
// yet, and so is left. It knows only of records that were appended since Open.
func (sh *shared) untouched(place int) bool {
	for i := 1; i < len(sh.strands); i++ {
		at := (place + i) % sh.n
		st := sh.strands[at]
		q := st.lane.q
		q.mu.Lock()
		left := !st.lane.gone && st.seen < sh.first+uint64(at)
		q.mu.Unlock()
		if left {
			return true
		}
	}
	return false
}

// search drops the shared data that has no record left: none that the database has, and
// that was not removed.
func (s *Store) search() {
	w := &s.commit
	if len(w.searches) == 0 {
		return
	}
	slices.SortFunc(w.searches, func(a, b search) int { return cmp.Compare(a.shared.first, b.shared.first) })
	once := slices.CompactFunc(w.searches, func(a, b search) bool { return a.shared.first == b.shared.first })
	it, err := s.db.NewIter(nil)
	if err == nil { // if not, it cannot be known whether something is left
		for _, sh := range orphaned(it, once, w.wasRemoved) {
			s.drop(sh.first, sh.size)
		}
		_ = it.Close() // read-only
	}
	clear(w.searches)
	w.searches = w.searches[:0]
}

// orphaned returns the shared data of which the database has no record but those that
// were removed. It looks for all together, in the order of their keys: to read on is
// cheap, to find a place is not.
func orphaned(it *pebble.Iterator, searches []search, removed func(seq uint64) bool) (orphans []*shared) {
	for len(searches) > 0 {
		left := searches[:0]
		for _, f := range searches {
			if f.next(removed) {
				left = append(left, f)
			} else {
				orphans = append(orphans, f.shared)
			}
		}
		slices.SortFunc(left, func(a, b search) int { return bytes.Compare(a.key, b.key) })
		searches = missing(it, left)
	}
	return orphans
}

// missing returns the searches that do not find what they look for. They are in order.
func missing(it *pebble.Iterator, searches []search) []search {
	left := searches[:0]
	for len(searches) > 0 {
		n := 1
		for n < len(searches) && sameStrand(searches[n].key, searches[0].key) {
			n++
		}
		// Behind the last may be the traces of many records that were removed.
		it.SetBounds(searches[0].key, append(searches[n-1].key, 0))
		for _, f := range searches[:n] {
			if !it.SeekGE(f.key) && it.Error() == nil || it.Valid() && !bytes.Equal(it.Key(), f.key) {
				left = append(left, f)
			}
		}
		searches = searches[n:]
	}
	return left
}

func sameStrand(a, b []byte) bool { return bytes.Equal(a[:len(a)-8], b[:len(b)-8]) }

// next goes on to the next record that is not among the removed.
func (f *search) next(removed func(seq uint64) bool) bool {
	for f.rest > 0 {
		f.place, f.rest = (f.place+1)%f.shared.n, f.rest-1
		if !removed(f.shared.first + uint64(f.place)) {
			f.key = f.shared.key(f.key[:0], f.place)
			return true
		}
	}
	return false
}
