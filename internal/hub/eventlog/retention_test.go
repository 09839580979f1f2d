package eventlog

import (
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/await"
	"sluice/internal/hub/storage"
	"sluice/iot"
)

// swept is what a test of retention looks at: the first and the next sequence
// number of partition 0, after a sweep.
func swept(t testing.TB, l *Log) (first, next uint64) {
	t.Helper()
	l.sweep()
	s, err := l.Stats(0)
	if err != nil {
		t.Fatal(err)
	}
	return s.First, s.Next
}

// byHand are options whose retention a test runs itself.
func byHand(clock *testClock) Options {
	return Options{FS: vfs.NewMem(), Partitions: 1, Now: clock.Now, elapsed: clock.Elapsed, sweepEvery: time.Hour}
}

func TestEventsAreRemovedByAge(t *testing.T) {
	clock := newTestClock()
	opt := byHand(clock)
	opt.MaxAge = 10 * time.Minute
	l := open(t, opt)
	for range 30 {
		fill(t, l, "dev1", 1)
		clock.pass(time.Minute)
	}
	if first, next := swept(t, l); first != 20 || next != 30 {
		t.Errorf("events %d to %d are kept, want 20 to 30", first, next)
	}
	wantKept := func(first uint64, n int) {
		t.Helper()
		events := all(t, l, 0, storage.Earliest())
		if len(events) != n || n > 0 && events[0].Sequence != first {
			t.Errorf("%d events are kept, from %v", len(events), textsOf(events))
		}
	}
	wantKept(20, 10)
	clock.pass(24 * time.Hour)
	swept(t, l)
	wantKept(30, 0)
	offset := must(l.Stats(0)).Offset
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, opt)
	if s := must(l.Stats(0)); s.First != 30 || s.Next != 30 || s.Offset != offset || s.Bytes != 0 || s.LastTime.IsZero() {
		t.Errorf("an emptied partition after a restart: %+v, offset was %d", s, offset)
	}
	fill(t, l, "dev1", 1)
	if events := all(t, l, 0, storage.Earliest()); len(events) != 1 || events[0].Sequence != 30 || events[0].Offset != offset {
		t.Errorf("numbers are used again: %+v", events)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestEventsAreRemovedBySize(t *testing.T) {
	clock := newTestClock()
	opt := byHand(clock)
	opt.Partitions, opt.MaxBytes = 2, 20_000
	l := open(t, opt)
	p := l.PartitionOf(iot.DeviceIdentity("dev1"))
	for i := range 100 {
		mustPut(t, l, "dev1", fmt.Sprintf("%0300d", i))
		if s := must(l.Stats(p)); i > 50 && s.Bytes > 20_000 { // the keeper hurries when a share is passed
			await.True(t, "the oldest events to go", func() bool { return must(l.Stats(p)).Bytes <= 10_000 })
		}
	}
	await.True(t, "the oldest events to go", func() bool { return must(l.Stats(p)).Bytes <= 10_000 })
	s := must(l.Stats(p))
	if s.Next != 100 || s.Bytes < 9_000 {
		t.Errorf("too much is gone: %+v", s)
	}
	if events := all(t, l, p, storage.Earliest()); events[0].Sequence != s.First || len(events) != int(100-s.First) {
		t.Errorf("%d events from %d, want them from %d", len(events), events[0].Sequence, s.First)
	}
}

// A slow reader goes on with what is left and can see from the numbers that it
// missed some.
func TestAReaderBehindRetentionGoesOn(t *testing.T) {
	clock := newTestClock()
	opt := byHand(clock)
	opt.MaxAge = 10 * time.Minute
	l := open(t, opt)
	fill(t, l, "dev1", 10)
	slow, future := mustRead(t, l, 0, storage.Earliest()), mustRead(t, l, 0, storage.AtSequence(100))
	if _, err := slow.Read(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	clock.pass(time.Hour)
	fill(t, l, "dev1", 3)
	swept(t, l)
	events, err := slow.Read(t.Context(), 10)
	if err != nil || len(events) != 3 || events[0].Sequence != 10 {
		t.Errorf("the slow reader goes on with %d events, %v", len(events), err)
	}
	if got := mustRead(t, l, 0, storage.AtSequence(2)).Next(); got != 10 {
		t.Errorf("a reader of an event that is gone begins at %d, want 10", got)
	}
	if got := mustRead(t, l, 0, storage.AtOffset(0)).Next(); got != 10 {
		t.Errorf("a reader of an offset that is gone begins at %d, want 10", got)
	}
	if future.Next() != 100 {
		t.Errorf("a reader of the future begins at %d", future.Next())
	}
}

// T1: a clock that jumps for a moment deletes nothing; one that is right after
// all, an hour later, is believed.
func TestT1_AClockThatJumpsDeletesNothing(t *testing.T) {
	clock := newTestClock()
	opt := byHand(clock)
	opt.MaxAge = 24 * time.Hour
	l := open(t, opt)
	fill(t, l, "dev1", 10)
	swept(t, l)
	clock.jump(10 * 365 * 24 * time.Hour)
	for range 50 { // fifty minutes
		clock.pass(time.Minute)
		if first, _ := swept(t, l); first != 0 {
			t.Fatal("a clock that is ten years ahead has deleted events at once")
		}
	}
	clock.jump(-10 * 365 * 24 * time.Hour)
	clock.pass(time.Hour)
	if first, _ := swept(t, l); first != 0 {
		t.Fatal("events of this day are gone")
	}
	clock.jump(10 * 365 * 24 * time.Hour)
	for range 70 {
		clock.pass(time.Minute)
		swept(t, l)
	}
	if first, next := swept(t, l); first != next {
		t.Errorf("a clock that was ten years ahead for an hour is not believed: events %d to %d are kept", first, next)
	}
}

// T3: events that were stored while the clock was wrong go with those around
// them, not ten years later.
func TestT3_EventsFromTheFutureGoWithTheirNeighbours(t *testing.T) {
	clock := newTestClock()
	opt := byHand(clock)
	opt.MaxAge = time.Hour
	l := open(t, opt)
	fill(t, l, "dev1", 3)
	clock.jump(10 * 365 * 24 * time.Hour)
	fill(t, l, "dev1", 3)
	clock.jump(-10 * 365 * 24 * time.Hour)
	fill(t, l, "dev1", 3)
	clock.pass(30 * time.Minute)
	fill(t, l, "dev1", 3)
	clock.pass(45 * time.Minute)
	if first, next := swept(t, l); first != 9 || next != 12 {
		t.Errorf("events %d to %d are kept, want 9 to 12", first, next)
	}
}

// One look visits a bounded number of events, and all goes that is to go.
func TestALongBacklogIsRemoved(t *testing.T) {
	clock := newTestClock()
	opt := byHand(clock)
	opt.MaxAge = time.Hour
	l := open(t, opt)
	batch := make([]iot.Message, 10_000)
	for range sweepEvents/len(batch) + 2 {
		done := make(chan error, 1)
		l.Append(iot.DeviceIdentity("dev1"), batch, func(err error) { done <- err })
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	clock.pass(2 * time.Hour)
	fill(t, l, "dev1", 1)
	if first, next := swept(t, l); next-first != 1 {
		t.Errorf("%d events are kept, want 1", next-first)
	}
}
