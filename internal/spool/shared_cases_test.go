package spool

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

var text = strings.Repeat("shared ", 50)

// sharing makes entries with the same data, each for the only lane of a queue.
func sharing(queues ...string) (entries []Entry) {
	data := []byte(text)
	for _, q := range queues {
		entries = append(entries, Entry{Queue: q, Data: data})
	}
	return entries
}

// take reads the next record of a queue, which has the shared text, and acknowledges it.
// The acknowledgement is not durable yet.
func take(t testing.TB, s *Store, queue string) {
	t.Helper()
	l := acquire(t, s.Queue(queue))
	defer l.Release(0)
	recs := read(t, l, 1)
	if texts(recs) != text {
		t.Fatalf("queue %s: read %.20q", queue, texts(recs))
	}
	l.Ack(recs...)
}

// copies counts the shared data in the database.
func copies(t testing.TB, s *Store) (n int) {
	t.Helper()
	settle(t, s)
	then := s.db.NewSnapshot()
	defer then.Close()
	walk(t, then, keyShared, func(*pebble.Iterator) { n++ })
	return n
}

func wantCopies(t testing.TB, s *Store, want int) {
	t.Helper()
	sweptBehind(t, s)
	if n := copies(t, s); n != want {
		t.Errorf("the database has the data %d times, want %d", n, want)
	}
	checkShared(t, s)
}

// slow has acknowledgements wait, so that a test says what goes into one commit.
func slow(fs vfs.FS) Options {
	return Options{FS: fs, AckDelay: time.Hour, BallastBytes: -1, WindowBytes: 4 << 10}
}

// Whatever the order in which the records of shared data are removed, and whenever the
// store is closed and opened between, the data goes with the last of them.
func TestSharedDataGoesWithItsLastRecord(t *testing.T) {
	for _, order := range [][]string{{"a", "b", "c"}, {"a", "c", "b"}, {"b", "a", "c"}, {"b", "c", "a"}, {"c", "a", "b"}, {"c", "b", "a"}} {
		for _, restart := range []int{0b000, 0b010, 0b111} { // a bit for each removal: before it
			fs := vfs.NewMem()
			s := open(t, "/s", slow(fs))
			put(t, s, sharing("a", "b", "c")...)
			for i, queue := range order {
				wantCopies(t, s, 1)
				if want := int64(len(text)) + Overhead + int64(len(order)-i)*Overhead; s.Stats().Bytes != want {
					t.Errorf("%v, restarts %b: %d bytes after %d removals, want %d", order, restart, s.Stats().Bytes, i, want)
				}
				if st := s.Queue(queue).Stats(); st.Records != 1 || st.Bytes != int64(len(text))+Overhead {
					t.Errorf("%v, restarts %b: queue %s: %+v", order, restart, queue, st)
				}
				if restart>>i&1 == 1 {
					s.Close()
					s = open(t, "/s", slow(fs))
				}
				take(t, s, queue)
			}
			wantCopies(t, s, 0)
			if n := s.Stats().Bytes; n != 0 {
				t.Errorf("%v, restarts %b: %d bytes in an empty store", order, restart, n)
			}
			s.Close()
		}
	}
}

// Data of very many records is there more than once, and that of the one left over is
// its own.
func TestSharedDataOfManyRecords(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, "/s", slow(fs))
	var queues []string
	for i := range 2*maxSharing + 1 {
		queues = append(queues, fmt.Sprint("q", i))
	}
	put(t, s, sharing(queues...)...)
	wantCopies(t, s, 2)
	for i, queue := range queues {
		if i == 5 {
			s.Close()
			s = open(t, "/s", slow(fs))
		}
		take(t, s, queue)
	}
	wantCopies(t, s, 0)
	if n := s.Stats().Bytes; n != 0 {
		t.Errorf("%d bytes in an empty store", n)
	}
}

// One commit removes all records: memory had one of them all the time, and lost another.
func TestSharedDataWhoseRecordsGoInOneCommit(t *testing.T) {
	s := open(t, "/s", slow(vfs.NewMem()))
	put(t, s, sharing("a", "b", "c")...)
	evict(t, s, "b")
	for _, queue := range []string{"a", "b", "c"} {
		take(t, s, queue)
	}
	wantCopies(t, s, 0)
}

// evict has a queue leave its records to the database.
func evict(t testing.TB, s *Store, queue string) {
	t.Helper()
	big := strings.Repeat("x", 1500)
	for i := range 3 {
		put(t, s, entry(queue, fmt.Sprint("other", i), 1, big))
	}
	q := s.Queue(queue)
	q.mu.Lock()
	defer q.mu.Unlock()
	if st := q.lanes[""].strands[0]; len(st.recent) != 0 || st.behind == 0 {
		t.Fatal("the records are still in memory")
	}
}

// The holder of a lease gives a record back: it is read again from the database.
func TestSharedDataOfARecordThatWasGivenBack(t *testing.T) {
	s := open(t, "/s", slow(vfs.NewMem()))
	put(t, s, sharing("a", "b")...)
	l := acquire(t, s.Queue("b"))
	read(t, l, 1)
	l.Release(0)
	take(t, s, "b")
	wantCopies(t, s, 1)
	take(t, s, "a")
	wantCopies(t, s, 0)
}

// A dead letter has data of its own, and so has the record that it becomes again.
func TestSharedDataOfADeadLetter(t *testing.T) {
	s := open(t, "/s", slow(vfs.NewMem()))
	put(t, s, sharing("a", "b")...)
	l := acquire(t, s.Queue("a"))
	l.Dead(read(t, l, 1)[0], "refused")
	l.Release(0)
	take(t, s, "b")
	wantCopies(t, s, 0)
	letters, err := s.DeadLetters(0, 2)
	if err != nil || len(letters) != 1 || string(letters[0].Data) != text {
		t.Fatalf("dead letters: %v, %v", letters, err)
	}
	if err := s.Requeue(letters[0].Seq, time.Time{}); err != nil {
		t.Fatal(err)
	}
	take(t, s, "a")
	wantCopies(t, s, 0)
}

func TestSharedDataOfARecordThatExpires(t *testing.T) {
	clock := newTestClock()
	opt := slow(vfs.NewMem())
	opt.Now = clock.Now
	s := open(t, "/s", opt)
	entries := sharing("a", "b")
	entries[0].Expires = clock.Now().Add(time.Minute)
	put(t, s, entries...)
	clock.step(time.Hour)
	s.sweep()
	wantCopies(t, s, 1)
	take(t, s, "b")
	wantCopies(t, s, 0)
}

// A purge takes records from shared data without a look at them.
func TestSharedDataBehindAPurge(t *testing.T) {
	purge := func(t *testing.T, s *Store, queue string, want uint64) {
		t.Helper()
		if n, err := s.Queue(queue).Purge(); n != want || err != nil {
			t.Fatalf("purged %d, %v, want %d", n, err, want)
		}
	}
	for name, script := range map[string]func(*testing.T, *Store){
		"of its last record": func(t *testing.T, s *Store) {
			take(t, s, "a")
			put(t, s)
			purge(t, s, "b", 1)
		},
		"of all its records": func(t *testing.T, s *Store) {
			purge(t, s, "a", 1)
			purge(t, s, "b", 1)
		},
		"of one that waits": func(t *testing.T, s *Store) {
			purge(t, s, "b", 1)
			wantCopies(t, s, 1)
			take(t, s, "a")
		},
		"of one that is leased": func(t *testing.T, s *Store) {
			l := acquire(t, s.Queue("b"))
			recs := read(t, l, 1)
			purge(t, s, "b", 1)
			wantCopies(t, s, 1)
			l.Ack(recs...)
			take(t, s, "a")
		},
		"of one whose removal comes late": func(t *testing.T, s *Store) {
			late := settleOnly(t, s, "b")
			purge(t, s, "b", 0)
			if _, ok := s.orphans.next(); ok {
				t.Error("the sweep does not wait for the removal")
			}
			take(t, s, "a")
			put(t, s)
			s.inbox.remove(late)
		},
		"of one whose removal comes late, before the other's": func(t *testing.T, s *Store) {
			late := settleOnly(t, s, "b")
			purge(t, s, "b", 0)
			s.inbox.remove(late)
			wantCopies(t, s, 1)
			take(t, s, "a")
		},
		"of one whose removal comes after that of another purge": func(t *testing.T, s *Store) {
			late := settleOnly(t, s, "b")
			purge(t, s, "b", 0)
			purge(t, s, "a", 1)
			s.inbox.remove(late)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, "/s", slow(vfs.NewMem()))
			put(t, s, sharing("a", "b")...)
			script(t, s)
			wantCopies(t, s, 0)
			if n := s.Stats().Bytes; n != 0 {
				t.Errorf("%d bytes in an empty store", n)
			}
		})
	}
}

// settleOnly acknowledges a queue's record, but keeps what removes it.
func settleOnly(t *testing.T, s *Store, queue string) []removal {
	t.Helper()
	l := acquire(t, s.Queue(queue))
	rec := read(t, l, 1)[0]
	q := s.Queue(queue)
	q.mu.Lock()
	defer q.mu.Unlock()
	f, ok := l.settle(rec.seq)
	if !ok {
		t.Fatal("the record is not the lease's")
	}
	return []removal{f.settle(rec.seq, delivered)}
}

// More shared data than one step of a sweep looks at, with a restart before its end.
func TestSharedDataBehindALargePurge(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, "/s", slow(fs))
	const n = 2*orphanLook + 10
	var entries []Entry
	for i := range n {
		entries = append(entries, sharing("a", "b")...)
		if i%3 == 0 {
			entries = append(entries, sharing("b", "c")...)
		}
	}
	put(t, s, entries...)
	if _, err := s.Queue("b").Purge(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Queue("a").Purge(); err != nil {
		t.Fatal(err)
	}
	s.Close() // wherever the sweep is
	s = open(t, "/s", slow(fs))
	wantCopies(t, s, (n+2)/3)
	for range (n + 2) / 3 {
		take(t, s, "c")
	}
	wantCopies(t, s, 0)
}

// A refused append leaves nothing.
func TestSharedDataThatIsRefused(t *testing.T) {
	opt := slow(vfs.NewMem())
	opt.MaxLaneBytes = int64(len(text)) + Overhead
	s := open(t, "/s", opt)
	put(t, s, sharing("a")...)
	if err := try(s, sharing("b", "a")...); !errors.Is(err, ErrLaneFull) {
		t.Fatalf("a lane above its limit: %v", err)
	}
	wantCopies(t, s, 0)
	if want := int64(len(text)) + Overhead; s.Stats().Bytes != want || s.Queue("b").Stats().Records != 0 {
		t.Errorf("%+v, %+v", s.Stats(), s.Queue("b").Stats())
	}
	put(t, s, sharing("b", "c")...)
	wantCopies(t, s, 1)
}

// The store's limit counts shared data once.
func TestSharedDataCountsOnce(t *testing.T) {
	opt := slow(vfs.NewMem())
	one := int64(len(text)) + Overhead + 3*Overhead
	opt.MaxBytes = 2*one + one/2
	s := open(t, "/s", opt)
	put(t, s, sharing("a", "b", "c")...)
	put(t, s, sharing("a", "b", "c")...)
	if err := try(s, sharing("a", "b", "c")...); !errors.Is(err, ErrFull) || errors.Is(err, ErrLaneFull) {
		t.Fatalf("above the limit: %v", err)
	}
	take(t, s, "a")
	take(t, s, "b")
	take(t, s, "c")
	put(t, s)
	put(t, s, sharing("a", "b", "c")...)
	wantCopies(t, s, 2)
}

// Shared data that is damaged is an error for who reads it, and for nobody else; and
// what cannot be read is not deleted.
func TestSharedDataThatIsDamaged(t *testing.T) {
	for name, damage := range map[string]func(s *Store, key, value []byte) error{
		"altered": func(s *Store, key, value []byte) error {
			value[len(value)-1] ^= 1
			return s.db.Set(key, value, pebble.NoSync)
		},
		"cut": func(s *Store, key, value []byte) error { return s.db.Set(key, value[:9], pebble.NoSync) },
		"another's": func(s *Store, key, value []byte) error {
			return s.db.Set(key, append(value[:4:4], value[4:]...)[:len(value)-3], pebble.NoSync)
		},
		"gone": func(s *Store, key, _ []byte) error { return s.db.Delete(key, pebble.NoSync) },
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			s := open(t, "/s", slow(fs))
			put(t, s, entry("a", "", 0, "before"))
			put(t, s, sharing("a", "b")...)
			put(t, s, sharing("c", "d")...)
			settle(t, s)
			key := seqKey(keyShared, 2)
			var value []byte
			if err := s.get(key, func(b []byte) error { value = append(value, b...); return nil }); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(damage(s, key, value), s.db.Flush()); err != nil {
				t.Fatal(err)
			}
			s.Close()
			s = open(t, "/s", slow(fs))
			for _, queue := range []string{"a", "b"} {
				l := acquire(t, s.Queue(queue))
				recs, err := l.Read(2, 1<<20)
				if queue == "a" && (texts(recs) != "before" || err != nil) {
					t.Errorf("the record before it: %q, %v", texts(recs), err)
				}
				var damaged *DamagedError
				if _, err := l.Read(2, 1<<20); !errors.As(err, &damaged) {
					t.Errorf("queue %s: %v", queue, err)
				}
				l.Release(0)
			}
			take(t, s, "c")
			take(t, s, "d")
			if _, err := s.Queue("a").Purge(); err != nil {
				t.Fatal(err)
			}
			sweptBehind(t, s)
			if n := s.Queue("b").Stats().Records; n != 1 {
				t.Errorf("%d records of the damaged data, want 1", n)
			}
		})
	}
}
