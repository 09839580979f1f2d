package eventlog

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"sluice/internal/hub/storage"
	"sluice/iot"
)

// failed says that a test has made a disk fail for good. Pebble's own goroutines
// then stay until the process ends; the log's must not.
var failed atomic.Bool

func TestMain(m *testing.M) {
	code := m.Run()
	var left []goleak.Option
	if failed.Load() {
		for _, f := range []string{
			".(*ConcurrencyLimitScheduler).periodicGranter", ".(*cleanupManager).mainLoop",
			"/internal/genericcache.(*shard[...]).releaseLoop", "/record.(*LogWriter).flushLoop",
		} {
			left = append(left, goleak.IgnoreAnyFunction("github.com/cockroachdb/pebble/v2"+f))
		}
	}
	if err := goleak.Find(left...); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// A testClock is a wall clock and a monotonic clock that tests move.
type testClock struct {
	mu      sync.Mutex
	wall    time.Time
	elapsed time.Duration
}

func newTestClock() *testClock {
	return &testClock{wall: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
}

func (c *testClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wall
}

func (c *testClock) Elapsed() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.elapsed
}

// pass lets time pass.
func (c *testClock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall, c.elapsed = c.wall.Add(d), c.elapsed+d
}

// jump sets the wall clock alone.
func (c *testClock) jump(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall = c.wall.Add(d)
}

// open opens a log in memory, or as opt says, that ends with the test.
func open(t testing.TB, opt Options) *Log {
	t.Helper()
	if opt.FS == nil {
		opt.FS = vfs.NewMem()
	}
	l, err := Open("log", opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil && l.Err() == nil {
			t.Error(err)
		}
	})
	return l
}

// message has a body and a property that says it again.
func message(text string) iot.Message {
	return iot.Message{
		System:     iot.System{{Name: iot.MessageID, Value: text}},
		Properties: iot.Properties{{Key: "text", Value: text}},
		Body:       []byte(text),
	}
}

// put appends a batch and waits for it.
func put(l *Log, device string, texts ...string) error {
	batch := make([]iot.Message, len(texts))
	for i, text := range texts {
		batch[i] = message(text)
	}
	done := make(chan error, 1)
	l.Append(iot.DeviceIdentity(device), batch, func(err error) { done <- err })
	select {
	case err := <-done:
		return err
	case <-time.After(time.Minute):
		return errors.New("append was not called back within a minute")
	}
}

func mustPut(t testing.TB, l *Log, device string, texts ...string) {
	t.Helper()
	if err := put(l, device, texts...); err != nil {
		t.Fatal(err)
	}
}

// fill appends n events, one to a batch, and returns their texts.
func fill(t testing.TB, l *Log, device string, n int) (texts []string) {
	t.Helper()
	for i := range n {
		texts = append(texts, device+"-"+strconv.Itoa(i))
		mustPut(t, l, device, texts[i])
	}
	return texts
}

func mustRead(t testing.TB, l *Log, partition int, from storage.Position) storage.EventReader {
	t.Helper()
	r, err := l.Reader(partition, from)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// all reads what is durable from a position on, and checks what holds of every
// log: sequence numbers without gaps, offsets that grow, messages as they were.
func all(t testing.TB, l *Log, partition int, from storage.Position) (events []storage.Event) {
	t.Helper()
	r := mustRead(t, l, partition, from)
	for {
		more, err := r.Poll(7)
		if err != nil {
			t.Fatal(err)
		}
		if len(more) == 0 {
			break
		}
		events = append(events, more...)
	}
	for i, e := range events {
		if e.Partition != partition || e.Source != storage.Telemetry {
			t.Errorf("event %d of partition %d: partition %d, source %v", e.Sequence, partition, e.Partition, e.Source)
		}
		if text, _ := e.Message.Properties.Get("text"); text != string(e.Message.Body) || e.Message.System.Get(iot.MessageID) != text {
			t.Errorf("event %d: body %q with the properties of %q", e.Sequence, e.Message.Body, text)
		}
		if i > 0 && (e.Sequence != events[i-1].Sequence+1 || e.Offset <= events[i-1].Offset) {
			t.Errorf("event %d at offset %d follows event %d at %d", e.Sequence, e.Offset, events[i-1].Sequence, events[i-1].Offset)
		}
	}
	return events
}

func textsOf(events []storage.Event) (texts []string) {
	for _, e := range events {
		texts = append(texts, string(e.Message.Body))
	}
	return texts
}

func wantTexts(t testing.TB, got []storage.Event, want []string) {
	t.Helper()
	if fmt.Sprint(textsOf(got)) != fmt.Sprint(want) {
		t.Fatalf("got %v\nwant %v", textsOf(got), want)
	}
}
