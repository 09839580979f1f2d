package spool

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// checkShared checks the database as it is at this moment: every record that refers to
// shared data finds it, and all that is shared has a record, unless a purge is still
// being swept behind; and what is counted is what is there.
func checkShared(t testing.TB, s *Store) {
	t.Helper()
	swept := s.orphans.swept()
	settle(t, s)
	then := s.db.NewSnapshot()
	defer then.Close()
	records := map[uint64]int{} // of shared data, by its sequence number
	var own, data tally
	walk(t, then, keyEntry, func(it *pebble.Iterator) {
		_, seq, err := parseEntry(it.Key())
		if err != nil {
			t.Fatal(err)
		}
		h, size, err := headerAt(it)
		if err != nil {
			t.Fatal(err)
		}
		own = own.plus(weigh(size, h.reference))
		if h.reference {
			records[seq-h.index]++
		}
	})
	walk(t, then, keyShared, func(it *pebble.Iterator) {
		value, err := it.ValueAndErr()
		if err != nil {
			t.Fatal(err)
		}
		sh, _, err := parseShared(value, it.Key())
		if err != nil {
			t.Fatal(err)
		}
		data = data.plus(weigh(sh.size, false))
		if n := records[sh.first]; n > sh.left || n == 0 && swept {
			t.Errorf("shared data %d of %d records has %d", sh.first, sh.left, n)
		}
		delete(records, sh.first)
	})
	for first, n := range records {
		t.Errorf("%d records refer to shared data %d, which is not there", n, first)
	}
	var held tally
	value, closer, err := then.Get([]byte{keyHeld})
	if err == nil {
		c := cursor{b: value}
		held.n, held.bytes = c.uvarint(), c.uvarint()
		closer.Close()
	}
	if held != data {
		t.Errorf("the database says that it has %+v of shared data, it has %+v", held, data)
	}
	if used, want := s.Stats().Bytes, own.own()+data.own(); swept && used != want {
		t.Errorf("%d bytes count against the limit, %d are there", used, want)
	}
}

// settle has the database take what was settled or swept, and all else.
func settle(t testing.TB, s *Store) {
	t.Helper()
	if err := s.do(&op{settle: settleNow}); err != nil {
		t.Fatal(err)
	}
}

// swept reports whether nothing is left to sweep.
func (o *orphans) swept() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.task.done()
}

func walk(t testing.TB, then *pebble.Snapshot, kind byte, f func(*pebble.Iterator)) {
	t.Helper()
	it, err := then.NewIter(&pebble.IterOptions{LowerBound: []byte{kind}, UpperBound: []byte{kind + 1}})
	if err != nil {
		t.Fatal(err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		f(it)
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
}

// sweptBehind waits until the sweep behind all purges is done.
func sweptBehind(t testing.TB, s *Store) {
	t.Helper()
	for deadline := time.Now().Add(patience); !s.orphans.swept(); {
		put(t, s) // until then, nothing was to be swept
		if time.Now().After(deadline) {
			t.Fatal("the sweep behind a purge does not end")
		}
	}
}
