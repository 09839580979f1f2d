package spool

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// A search is for a record of shared data that is left when one has been removed.
type search struct {
	shared *shared
	begin  int    // place of the one that was removed: the next is looked for first
	tried  int    // places after it, which have none
	key    []byte // of the one to look for
}

// searchLater has the commit look for other records of the data that r was one of,
// unless one is known to be left.
func (s *Store) searchLater(r *removal) {
	w := &s.commit
	w.removed[r.seq] = struct{}{}
	if place := int(r.seq - r.shared.first); !r.shared.untouched(place) {
		w.searches = append(w.searches, search{shared: r.shared, begin: place})
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

// search drops the shared data that has no record left: none that the database has, by
// the commits before, and this one does not take. It makes all searches together, in
// the order of the keys: to read on is cheap, to find a place is not.
func (s *Store) search() {
	w := &s.commit
	if len(w.searches) == 0 {
		return
	}
	slices.SortFunc(w.searches, func(a, b search) int { return cmp.Compare(a.shared.first, b.shared.first) })
	left := slices.CompactFunc(w.searches, func(a, b search) bool { return a.shared.first == b.shared.first })
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{keyEntry}, UpperBound: []byte{keyEntry + 1}})
	if err == nil {
		for left = s.choose(left); len(left) > 0; left = s.choose(left) {
			slices.SortFunc(left, func(a, b search) int { return bytes.Compare(a.key, b.key) })
			left = slices.DeleteFunc(left, func(f search) bool { return there(it, f.key) })
		}
		_ = it.Close() // read-only
	}
	clear(w.searches)
	w.searches = w.searches[:0]
}

// choose has each search go on to its next record. It drops the data of those that
// have no more to look for, and returns the others.
func (s *Store) choose(searches []search) []search {
	left := searches[:0]
	for _, f := range searches {
		if f.next(s.commit.removed) {
			left = append(left, f)
		} else {
			s.drop(f.shared.first, f.shared.size)
		}
	}
	return left
}

// next goes on to the next record that is not among the removed.
func (f *search) next(removed map[uint64]struct{}) bool {
	for f.tried++; f.tried < f.shared.n; f.tried++ {
		place := (f.begin + f.tried) % f.shared.n
		if _, gone := removed[f.shared.first+uint64(place)]; !gone {
			f.key = f.shared.key(f.key[:0], place)
			return true
		}
	}
	return false
}

// there reports whether the database has a record. If that cannot be known, it is not for us to
// remove anything.
func there(it *pebble.Iterator, key []byte) bool {
	// Behind the limit are other records, and the traces of many that were removed.
	limit := append(key, 0)
	if it.SeekGEWithLimit(key, limit) == pebble.IterValid {
		return bytes.Equal(it.Key(), key)
	}
	return it.Error() != nil
}
