package spool

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of the tests.
const patience = 20 * time.Second

// A testClock is a wall clock that tests set.
type testClock struct{ nanos atomic.Int64 }

func newTestClock() *testClock {
	c := new(testClock)
	c.nanos.Store(1_700_000_000_000_000_000)
	return c
}

func (c *testClock) Now() time.Time       { return time.Unix(0, c.nanos.Load()) }
func (c *testClock) step(d time.Duration) { c.nanos.Add(int64(d)) }

func open(t testing.TB, dir string, opt Options) *Store {
	t.Helper()
	s, err := Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// put appends entries and waits until they are safe.
func put(t testing.TB, s *Store, entries ...Entry) {
	t.Helper()
	if err := try(s, entries...); err != nil {
		t.Fatal(err)
	}
}

func try(s *Store, entries ...Entry) error {
	wait := make(chan error, 1)
	s.Append(entries, func(err error) { wait <- err })
	return <-wait
}

func entry(queue, lane string, priority uint32, data string) Entry {
	return Entry{Queue: queue, Lane: lane, Priority: priority, Data: []byte(data)}
}

func acquire(t testing.TB, q *Queue) *Lease {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	l, err := q.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func read(t testing.TB, l *Lease, max int) []Record {
	t.Helper()
	recs, err := l.Read(max, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	return recs
}

func texts(recs []Record) string {
	var b bytes.Buffer
	for i, r := range recs {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.Write(r.Data)
	}
	return b.String()
}

func TestAppendReadAck(t *testing.T) {
	dir := t.TempDir() + "/s"
	s := open(t, dir, Options{})
	for i := range 10 {
		put(t, s, entry("q", "a", 1, fmt.Sprint(i)))
	}
	l := acquire(t, s.Queue("q"))
	recs := read(t, l, 100)
	if got, want := texts(recs), "0 1 2 3 4 5 6 7 8 9"; got != want {
		t.Fatalf("read %q, want %q", got, want)
	}
	l.Ack(recs[:3]...)
	l.Ack(recs[5])
	l.Release(0)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, Options{})
	if st := s.Queue("q").Stats(); st.Records != 6 || st.Bytes != 6*(Overhead+1) {
		t.Fatalf("after restart: %+v", st)
	}
	l = acquire(t, s.Queue("q"))
	if got, want := texts(read(t, l, 100)), "3 4 6 7 8 9"; got != want {
		t.Fatalf("read %q, want %q", got, want)
	}
}
