package eventlog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/await"
	"sluice/internal/hub/storage"
	"sluice/iot"
)

func TestADevicesEventsAreInOnePartitionInOrder(t *testing.T) {
	l := open(t, Options{Partitions: 8})
	const devices, each = 20, 30
	var group sync.WaitGroup
	for d := range devices {
		device := fmt.Sprint("device", d)
		group.Go(func() {
			for i := range each {
				if err := put(l, device, fmt.Sprint(device, ":", i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	next := make(map[string]int)
	for p := range l.Partitions() {
		for _, text := range textsOf(all(t, l, p, storage.Earliest())) {
			device, n, _ := strings.Cut(text, ":")
			if n != fmt.Sprint(next[device]) {
				t.Fatalf("%s comes where %d should", text, next[device])
			}
			if l.PartitionOf(iot.DeviceIdentity(device)) != p {
				t.Fatalf("%s is in partition %d", text, p)
			}
			next[device]++
		}
	}
	for d := range devices {
		if got := next[fmt.Sprint("device", d)]; got != each {
			t.Errorf("device%d has %d events, want %d", d, got, each)
		}
	}
}

// Which partition a device has is stored with its events: it must be the same in
// every version.
func TestPartitionsAreChosenForEver(t *testing.T) {
	l := open(t, Options{Partitions: 32})
	for device, want := range map[string]int{"": 5, "a": 12, "dev1": 23, "Dev1": 23, "sensor-0042": 0} {
		if got := l.PartitionOf(iot.DeviceIdentity(device)); got != want {
			t.Errorf("PartitionOf(%q) = %d, want %d", device, got, want)
		}
		if got := l.PartitionOf(iot.ModuleIdentity(device, "m")); got != want {
			t.Errorf("PartitionOf(%q's module) = %d, want %d", device, got, want)
		}
	}
}

func TestEventsSurviveARestart(t *testing.T) {
	clock := newTestClock()
	opt := Options{FS: vfs.NewMem(), Partitions: 2, Now: clock.Now}
	l := open(t, opt)
	var want []string
	for restart := range 3 {
		clock.pass(time.Second)
		want = append(want, fmt.Sprint("one", restart), fmt.Sprint("two", restart))
		mustPut(t, l, "dev1", want[2*restart:]...)
		p := l.PartitionOf(iot.DeviceIdentity("dev1"))
		before := all(t, l, p, storage.Earliest())
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = open(t, Options{FS: opt.FS, Now: clock.Now}) // the number of partitions is the log's
		if l.Partitions() != 2 {
			t.Fatalf("%d partitions", l.Partitions())
		}
		after := all(t, l, p, storage.Earliest())
		wantTexts(t, after, want)
		for i := range after {
			if after[i].Offset != before[i].Offset || !after[i].Enqueued.Equal(before[i].Enqueued) {
				t.Errorf("event %d was at offset %d, %v; is at %d, %v", i, before[i].Offset, before[i].Enqueued, after[i].Offset, after[i].Enqueued)
			}
		}
		s, err := l.Stats(p)
		if err != nil || s.First != 0 || s.Next != uint64(len(want)) || !s.LastTime.Equal(clock.Now()) || s.Bytes == 0 || s.Bytes != s.Offset {
			t.Errorf("Stats = %+v, %v", s, err)
		}
	}
}

func TestAppendsAreCalledBackInOrderAndShareAnFsync(t *testing.T) {
	l := open(t, Options{})
	var mu sync.Mutex
	var order []int
	var group sync.WaitGroup
	const n = 2000
	for i := range n {
		group.Add(1)
		l.Append(iot.DeviceIdentity(fmt.Sprint("dev", i%10)), []iot.Message{message("x")}, func(err error) {
			defer group.Done()
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			order = append(order, i)
		})
	}
	group.Wait()
	for i, got := range order {
		if got != i {
			t.Fatalf("append %d was called back as the %dth", got, i)
		}
	}
	if syncs := l.syncs.Load(); syncs > n/4 {
		t.Errorf("%d appends took %d fsyncs", n, syncs)
	}
}

func TestABatchIsWhole(t *testing.T) {
	l := open(t, Options{})
	p := l.PartitionOf(iot.DeviceIdentity("dev1"))
	r := mustRead(t, l, p, storage.Earliest())
	batch := []iot.Message{message("a"), message("b"), message("c")}
	done := make(chan error, 1)
	l.Append(iot.ModuleIdentity("dev1", "m"), batch, func(err error) { done <- err })
	for i := range batch { // they are the caller's again
		batch[i].Body[0], batch[i].Properties[0].Value = 'X', "X"
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	events, err := r.Read(t.Context(), 100)
	if err != nil {
		t.Fatal(err)
	}
	wantTexts(t, events, []string{"a", "b", "c"})
	mustPut(t, l, "dev1") // a batch of none is stored at once
	if got := all(t, l, p, storage.Earliest()); len(got) != 3 {
		t.Errorf("an empty batch has left %d events", len(got))
	}
}

func TestAFollowingReaderSeesEverythingOnce(t *testing.T) {
	l := open(t, Options{Partitions: 1})
	const n, readers = 500, 4
	var group sync.WaitGroup
	for range readers {
		r := mustRead(t, l, 0, storage.Latest())
		group.Go(func() {
			for next := uint64(0); next < n; {
				events, err := r.Read(t.Context(), 13)
				if err != nil || len(events) == 0 || len(events) > 13 {
					t.Errorf("Read: %d events, %v", len(events), err)
					return
				}
				for _, e := range events {
					if e.Sequence != next {
						t.Errorf("event %d comes where %d should", e.Sequence, next)
						return
					}
					next++
				}
			}
		})
	}
	for i := range n {
		l.Append(iot.DeviceIdentity("dev1"), []iot.Message{message(fmt.Sprint(i))}, func(err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

func TestAReaderThatWaitsCanBeCalledOff(t *testing.T) {
	l := open(t, Options{Partitions: 1})
	r := mustRead(t, l, 0, storage.Earliest())
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() {
		_, err := r.Read(ctx, 1)
		result <- err
	}()
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("a reader called off: %v", err)
	}
	go func() {
		_, err := r.Read(t.Context(), 1)
		result <- err
	}()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-result; !errors.Is(err, storage.ErrClosed) {
		t.Errorf("a reader of a closed log: %v", err)
	}
	if _, err := r.Poll(1); err != nil {
		t.Errorf("an empty Poll of a closed log: %v", err)
	}
}

func TestAClosedLogRefuses(t *testing.T) {
	l := open(t, Options{Partitions: 1})
	mustPut(t, l, "dev1", "a")
	r := mustRead(t, l, 0, storage.Earliest())
	if err := errors.Join(l.Close(), l.Close()); err != nil {
		t.Fatal(err)
	}
	if err := put(l, "dev1", "b"); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("Append: %v", err)
	}
	if _, err := r.Read(t.Context(), 1); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("Read: %v", err)
	}
	if _, err := l.Reader(0, storage.AtOffset(1)); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("Reader: %v", err)
	}
}

func TestCloseStoresWhatIsPending(t *testing.T) {
	fs := vfs.NewMem()
	l := open(t, Options{FS: fs, Partitions: 1})
	stored := 0
	for i := range 1000 {
		l.Append(iot.DeviceIdentity("dev1"), []iot.Message{message(fmt.Sprint(i))}, func(err error) {
			if err == nil {
				stored++ // called back one after the other
			}
		})
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if stored != 1000 {
		t.Errorf("%d of 1000 appends were called back with nil by the time of Close", stored)
	}
	if n := len(all(t, open(t, Options{FS: fs}), 0, storage.Earliest())); n != 1000 {
		t.Errorf("%d are there", n)
	}
}

// A sender that is faster than the disk waits.
func TestB8_AppendWaitsForRoom(t *testing.T) {
	fs := newFaults(vfs.NewMem())
	l := open(t, Options{FS: fs, Partitions: 1, MaxPendingBytes: 10_000})
	release := fs.stall(syncOfLog)
	appended := make(chan int, 1000)
	go func() {
		defer close(appended)
		for i := range 100 {
			l.Append(iot.DeviceIdentity("dev1"), []iot.Message{{Body: make([]byte, 1000)}}, func(err error) {
				if err != nil {
					t.Error(err)
				}
			})
			appended <- i
		}
	}()
	await.True(t, "some appends", func() bool { return len(appended) >= 8 })
	l.inbox.mu.Lock()
	held := l.inbox.bytes
	l.inbox.mu.Unlock()
	if held > 12_000 {
		t.Errorf("%d bytes are pending", held)
	}
	if n := len(appended); n > 12 {
		t.Errorf("%d appends of 1 kB returned with room for 10 kB", n)
	}
	release()
	n := 0
	for range appended {
		n++
	}
	if n != 100 {
		t.Errorf("%d appends", n)
	}
}

func TestWhatCannotBeOpened(t *testing.T) {
	fs := vfs.NewMem()
	l := open(t, Options{FS: fs, Partitions: 4})
	if _, err := Open("log", Options{FS: fs}); err == nil {
		t.Error("F9: a log that is open was opened again")
	}
	mustPut(t, l, "dev1", "a")
	p := l.PartitionOf(iot.DeviceIdentity("dev1"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var partitions *PartitionsError
	if _, err := Open("log", Options{FS: fs, Partitions: 5}); !errors.As(err, &partitions) || partitions.Have != 4 || partitions.Want != 5 {
		t.Errorf("with another number of partitions: %v", err)
	}
	for _, n := range []int{-1, MaxPartitions + 1} {
		if _, err := Open("log", Options{FS: fs, Partitions: n}); err == nil {
			t.Errorf("opened with %d partitions", n)
		}
	}
	if _, err := Open("no/such/log", Options{FS: fs}); err == nil {
		t.Error("opened where there is no directory")
	}
	raw(t, fs, func(db *pebble.DB) error { return db.Set([]byte{keyFormat}, []byte{9, 0, 4}, pebble.Sync) })
	if _, err := Open("log", Options{FS: fs}); err == nil || !strings.Contains(err.Error(), "newer") {
		t.Errorf("L8: of a newer version: %v", err)
	}
	raw(t, fs, func(db *pebble.DB) error { return db.Set([]byte{keyFormat}, []byte{1, 0, 4}, pebble.Sync) })

	t.Run("D9 an event at the beginning is gone", func(t *testing.T) {
		raw(t, fs, func(db *pebble.DB) error {
			m := mark{sequence: 5, offset: 99}
			return db.Set(metaKey(p), m.appendMeta(nil), pebble.Sync)
		})
		var damaged *DamagedError
		if _, err := Open("log", Options{FS: fs}); !errors.As(err, &damaged) {
			t.Errorf("opened with %v", err)
		}
	})
}

// quiet is a log for Pebble that holds no news.
type quiet struct{ t testing.TB }

func (quiet) Infof(string, ...any)                {}
func (quiet) Errorf(string, ...any)               {}
func (q quiet) Fatalf(format string, args ...any) { q.t.Fatalf(format, args...) }

// raw changes a closed log behind its back.
func raw(t testing.TB, fs vfs.FS, change func(*pebble.DB) error) {
	t.Helper()
	db, err := pebble.Open("log", &pebble.Options{FS: fs, FormatMajorVersion: pebble.FormatValueSeparation, Logger: quiet{t}})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(change(db), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// D8: an event whose bytes are not those that were written is reported and never
// delivered; those before it are.
func TestD8_ADamagedEventIsNotDelivered(t *testing.T) {
	fs := vfs.NewMem()
	l := open(t, Options{FS: fs, Partitions: 1})
	fill(t, l, "dev1", 10)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	raw(t, fs, func(db *pebble.DB) error {
		key := eventKey(0, 6)
		value, closer, err := db.Get(key)
		if err != nil {
			return err
		}
		changed := append([]byte(nil), value...)
		changed[len(changed)-1] ^= 1
		return errors.Join(closer.Close(), db.Set(key, changed, pebble.Sync))
	})
	l = open(t, Options{FS: fs})
	r := mustRead(t, l, 0, storage.Earliest())
	events, err := r.Read(t.Context(), 100)
	if err != nil || len(events) != 6 {
		t.Fatalf("read %d events before the damaged one, %v", len(events), err)
	}
	var damaged *DamagedError
	if _, err := r.Read(t.Context(), 100); !errors.As(err, &damaged) {
		t.Errorf("at the damaged event: %v", err)
	}
	if r.Next() != 6 {
		t.Errorf("the reader stands at %d", r.Next())
	}
	if got := all(t, l, 0, storage.AtSequence(7)); len(got) != 3 {
		t.Errorf("%d events after it can be read", len(got))
	}
	mustPut(t, l, "dev1", "more")
}

func TestThereIsNoSuchPartition(t *testing.T) {
	l := open(t, Options{Partitions: 2})
	for _, p := range []int{-1, 2} {
		if _, err := l.Reader(p, storage.Earliest()); !errors.Is(err, storage.ErrNoPartition) {
			t.Errorf("Reader(%d): %v", p, err)
		}
		if _, err := l.Stats(p); !errors.Is(err, storage.ErrNoPartition) {
			t.Errorf("Stats(%d): %v", p, err)
		}
	}
	if s, err := l.Stats(1); err != nil || s != (storage.Stats{Partition: 1}) {
		t.Errorf("an empty partition: %+v, %v", s, err)
	}
}
