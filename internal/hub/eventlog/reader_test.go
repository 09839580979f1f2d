package eventlog

import (
	"context"
	"errors"
	"sluice/internal/hub/storage"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func TestAReaderBeginsAtEveryPosition(t *testing.T) {
	clock := newTestClock()
	fs := vfs.NewMem()
	l := open(t, Options{FS: fs, Partitions: 1, Now: clock.Now})
	begin := clock.Now()
	for range 20 { // two events a second
		fill(t, l, "dev1", 2)
		clock.pass(time.Second)
	}
	events := all(t, l, 0, storage.Earliest())
	check := func(name string, from storage.Position, want uint64) {
		t.Helper()
		if got := mustRead(t, l, 0, from).Next(); got != want {
			t.Errorf("%s: begins at %d, want %d", name, got, want)
		}
	}
	for range 2 { // and the same after a restart
		check("zero", storage.Position{}, 0)
		check("earliest", storage.Earliest(), 0)
		check("latest", storage.Latest(), 40)
		for _, e := range events {
			check("sequence", storage.AtSequence(e.Sequence), e.Sequence)
			check("offset", storage.AtOffset(e.Offset), e.Sequence)
			check("offset after it", storage.AtOffset(e.Offset+1), e.Sequence+1)
			first := e.Sequence &^ 1 // of those of this second
			check("time", storage.AtTime(e.Enqueued), first)
			check("time before it", storage.AtTime(e.Enqueued.Add(-time.Nanosecond)), first)
			check("time after it", storage.AtTime(e.Enqueued.Add(time.Nanosecond)), first+2)
		}
		check("sequence to come", storage.AtSequence(100), 100)
		check("offset to come", storage.AtOffset(1<<60), 40)
		check("long ago", storage.AtTime(begin.Add(-1000*time.Hour)), 0)
		check("zero time", storage.AtTime(time.Time{}), 0)
		check("in the future", storage.AtTime(begin.Add(time.Hour)), 40)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = open(t, Options{FS: fs, Now: clock.Now})
	}
}

// T1, T2: a reader that begins at a time misses no event of that time or later,
// whatever the clock did.
func TestT1_AClockThatIsSetBackHidesNothing(t *testing.T) {
	clock := newTestClock()
	l := open(t, Options{Partitions: 1, Now: clock.Now})
	for _, jump := range []time.Duration{0, time.Hour, -10 * time.Minute, -24 * time.Hour, 36 * time.Hour, time.Minute} {
		clock.jump(jump)
		fill(t, l, "dev1", 5)
	}
	events := all(t, l, 0, storage.Earliest())
	for _, at := range events {
		from := mustRead(t, l, 0, storage.AtTime(at.Enqueued)).Next()
		for _, e := range events {
			if !e.Enqueued.Before(at.Enqueued) && e.Sequence < from {
				t.Errorf("a reader from %v begins at %d and misses event %d of %v", at.Enqueued, from, e.Sequence, e.Enqueued)
			}
		}
	}
}

func TestAReaderMayWaitForASequenceNumber(t *testing.T) {
	l := open(t, Options{Partitions: 1})
	r := mustRead(t, l, 0, storage.AtSequence(3))
	fill(t, l, "dev1", 5)
	events, err := r.Read(t.Context(), 10)
	if err != nil {
		t.Fatal(err)
	}
	wantTexts(t, events, []string{"dev1-3", "dev1-4"})
}

func TestWaitingForAnEventReadsNothing(t *testing.T) {
	l := open(t, Options{Partitions: 1})
	fill(t, l, "dev1", 2)
	for _, there := range []uint64{0, 1} {
		if err := l.Wait(t.Context(), 0, there); err != nil {
			t.Errorf("event %d, which is there: %v", there, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	waited := make(chan error, 2)
	go func() { waited <- l.Wait(t.Context(), 0, 3) }()
	go func() { <-ctx.Done(); waited <- l.Wait(ctx, 0, 4) }()
	cancel()
	if err := <-waited; !errors.Is(err, context.Canceled) {
		t.Errorf("called off: %v", err)
	}
	fill(t, l, "dev1", 2) // the first of them is not the one
	if err := <-waited; err != nil {
		t.Error(err)
	}
	if err := l.Wait(t.Context(), 1, 0); !errors.Is(err, storage.ErrNoPartition) {
		t.Errorf("another partition: %v", err)
	}
	go func() { waited <- l.Wait(t.Context(), 0, 4) }()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; !errors.Is(err, storage.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

func TestOneReadIsBounded(t *testing.T) {
	l := open(t, Options{Partitions: 1})
	for range 8 {
		mustPut(t, l, "dev1", string(make([]byte, 200_000)))
	}
	r := mustRead(t, l, 0, storage.Earliest())
	for _, test := range []struct{ limit, want int }{{1, 1}, {2, 2}, {1 << 30, 2}, {0, 1}, {-1, 1}} {
		events, err := r.Read(t.Context(), test.limit)
		if err != nil || len(events) != test.want {
			t.Errorf("Read(%d) returned %d events of 600 kB each, %v; want %d", test.limit, len(events), err, test.want)
		}
	}
	for _, limit := range []int{0, -1} {
		if events, err := mustRead(t, l, 0, storage.Earliest()).Poll(limit); err != nil || len(events) != 0 {
			t.Errorf("Poll(%d) returned %d events, %v", limit, len(events), err)
		}
	}
}
