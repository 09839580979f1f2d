package eventlog

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"sluice/internal/hub/storage"
	"sluice/iot"
)

var (
	seed  = flag.Uint64("seed", 0, "seed of the randomized tests; 0: a new one each time")
	seeds = flag.Int("seeds", 60, "seeds of the power-cut tests")
)

// testSeed says which seed a randomized test runs with, and how to repeat it.
func testSeed(t testing.TB) uint64 {
	n := *seed
	if n == 0 {
		n = rand.Uint64()
	}
	t.Logf("repeat with -seed=%d", n)
	return n
}

// A ledger is what the senders know, kept beside the log: after a power cut it
// says what must be there and what may be.
type ledger struct {
	given     map[string]int // text -> number of its batch
	batches   []batch
	confirmed map[int]bool // by number of the batch: called back with nil
}

type batch struct {
	device string
	texts  []string
}

func newLedger() *ledger {
	return &ledger{given: make(map[string]int), confirmed: make(map[int]bool)}
}

func (l *ledger) clone() *ledger {
	return &ledger{given: maps.Clone(l.given), batches: append([]batch(nil), l.batches...), confirmed: maps.Clone(l.confirmed)}
}

// A cut is the disk as a power cut at one moment leaves it.
type cut struct {
	at   string
	fs   *vfs.MemFS
	then *ledger
}

// A world is a log on a crashable disk, with senders, whose power is cut at
// operations of the disk.
type world struct {
	t     testing.TB
	rng   *rand.Rand
	mem   *vfs.MemFS
	disk  *faults
	clock *testClock
	log   *Log

	mu    sync.Mutex
	book  *ledger
	take  func() bool // whether to cut at this operation
	chaos *rand.Rand  // for the cuts' unsynced data
	cuts  []cut
	ops   int
}

func newWorld(t testing.TB, seed uint64, take func() bool) *world {
	w := &world{
		t: t, rng: rand.New(rand.NewPCG(seed, 1)), chaos: rand.New(rand.NewPCG(seed, 2)),
		mem: vfs.NewCrashableMem(), clock: newTestClock(), book: newLedger(), take: take,
	}
	w.disk = newFaults(w.mem)
	w.disk.set(w.operation)
	return w
}

func (w *world) options(fs vfs.FS) Options {
	return Options{FS: fs, Partitions: 3, Now: w.clock.Now, elapsed: w.clock.Elapsed, sweepEvery: time.Hour, MaxAge: time.Hour}
}

// operation is told of every operation of the disk ahead of it.
func (w *world) operation(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() == errorfs.OpIsRead {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ops++
	if w.take != nil && w.take() {
		at := fmt.Sprintf("operation %d: %d %s", w.ops, op.Kind, op.Path)
		w.cut(at, 0)
		w.cut(at+", some unsynced", [...]int{10, 50, 90}[w.chaos.IntN(3)])
	}
	return nil
}

// cut first copies what the senders know: what they learn while the disk is
// copied need not be on the copy. mu is held.
func (w *world) cut(at string, unsynced int) {
	then := w.book.clone()
	w.cuts = append(w.cuts, cut{at, w.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsynced, RNG: w.chaos}), then})
}

// send appends a batch of one of the devices.
func (w *world) send(confirmed func()) {
	w.mu.Lock()
	number := len(w.book.batches)
	b := batch{device: fmt.Sprint("dev", w.rng.IntN(5))}
	size := 1 << w.rng.IntN(12)
	messages := make([]iot.Message, 1+w.rng.IntN(4))
	for i := range messages {
		text := fmt.Sprintf("%d.%d %0*d", number, i, size, 0)
		b.texts = append(b.texts, text)
		messages[i] = message(text)
		w.book.given[text] = number
	}
	w.book.batches = append(w.book.batches, b)
	w.mu.Unlock()
	w.log.Append(iot.DeviceIdentity(b.device), messages, func(err error) {
		if err != nil {
			w.t.Error(err)
		}
		w.mu.Lock()
		w.book.confirmed[number] = true
		w.mu.Unlock()
		confirmed()
	})
}

// script appends, restarts and lets retention look, for some steps.
func (w *world) script(steps int) {
	w.open()
	var group sync.WaitGroup
	for range steps {
		switch w.rng.IntN(20) {
		case 0:
			group.Wait()
			w.close()
			w.open()
		case 1:
			w.log.sweep() // which finds nothing: no event is old
		case 2:
			group.Wait()
		default:
			group.Add(1)
			w.send(group.Done)
		}
		w.clock.pass(time.Second)
	}
	group.Wait()
	w.close()
}

func (w *world) open() {
	l, err := Open("log", w.options(w.disk))
	if err != nil {
		w.t.Fatal(err)
	}
	w.log = l
}

func (w *world) close() {
	if err := w.log.Close(); err != nil {
		w.t.Fatal(err)
	}
}

// verify opens the disk as the cut left it and compares it with the ledger.
func (c *cut) verify(t testing.TB, opt Options) {
	t.Helper()
	opt.FS = c.fs
	l, err := Open("log", opt)
	if err != nil {
		t.Errorf("%s: %v", c.at, err)
		return
	}
	found := make(map[string]bool)
	for p := range l.Partitions() {
		c.compare(t, l, p, found)
	}
	for number := range c.then.confirmed {
		for _, text := range c.then.batches[number].texts {
			if !found[text] {
				t.Errorf("%s: %.20q was called back with nil, and is lost", c.at, text)
			}
		}
	}
	// And the log goes on from there.
	if err := put(l, "dev0", "after"); err != nil {
		t.Errorf("%s: append after recovery: %v", c.at, err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("%s: %v", c.at, err)
	}
}

// compare checks that a partition holds whole batches that were given, in order.
func (c *cut) compare(t testing.TB, l *Log, p int, found map[string]bool) {
	t.Helper()
	texts := textsOf(all(t, l, p, storage.Earliest()))
	last := -1
	for len(texts) > 0 {
		number, ok := c.then.given[texts[0]]
		if !ok {
			// Given after the cut was taken: it may be on the copy, and then it is
			// the last.
			return
		}
		b := c.then.batches[number]
		if number <= last {
			t.Errorf("%s: batch %d follows batch %d", c.at, number, last)
		}
		if l.PartitionOf(iot.DeviceIdentity(b.device)) != p || len(texts) < len(b.texts) {
			t.Errorf("%s: batch %d of %s is torn, or in partition %d", c.at, number, b.device, p)
			return
		}
		for i, text := range b.texts {
			if texts[i] != text {
				t.Errorf("%s: %.20q where %.20q should be", c.at, texts[i], text)
			}
			found[text] = true
		}
		last, texts = number, texts[len(b.texts):]
	}
}

func (w *world) verify() {
	w.t.Helper()
	opt := w.options(nil)
	for i := range w.cuts {
		w.cuts[i].verify(w.t, opt)
	}
}

func TestD3_PowerCutAtEveryOperation(t *testing.T) {
	steps := 120
	if testing.Short() {
		steps = 40
	}
	w := newWorld(t, testSeed(t), func() bool { return true })
	w.script(steps)
	t.Logf("%d operations, %d cuts", w.ops, len(w.cuts))
	w.verify()
}

func TestD4_PowerCutWithSomeUnsyncedDataKept(t *testing.T) {
	n := *seeds
	if testing.Short() {
		n /= 10
	}
	first := testSeed(t)
	for i := range n {
		seed := first + uint64(i)
		chance := rand.New(rand.NewPCG(seed, 3))
		w := newWorld(t, seed, func() bool { return chance.IntN(30) == 0 })
		w.script(30)
		w.verify()
		if t.Failed() {
			t.Fatalf("repeat with -seed=%d", seed)
		}
	}
}

func TestD6_PowerCutDuringRecovery(t *testing.T) {
	seed := testSeed(t)
	chance := rand.New(rand.NewPCG(seed, 3))
	w := newWorld(t, seed, func() bool { return chance.IntN(50) == 0 })
	w.script(60)
	for _, first := range w.cuts {
		again := newWorld(t, chance.Uint64(), func() bool { return true })
		again.mem, again.book = first.fs, first.then
		again.disk = newFaults(first.fs)
		again.disk.set(again.operation)
		again.open()
		again.mu.Lock()
		cuts := again.cuts
		again.cuts, again.take = nil, nil
		again.mu.Unlock()
		again.close()
		for i := range cuts {
			cuts[i].at = first.at + ", then during recovery at " + cuts[i].at
			cuts[i].verify(t, w.options(nil))
		}
	}
}

// At the moment of every call back, a disk without anything unsynced must have
// the batch.
func TestD15_NothingIsCalledBackBeforeItsSync(t *testing.T) {
	w := newWorld(t, testSeed(t), nil)
	w.open()
	var group sync.WaitGroup
	for i := range 100 {
		group.Add(1)
		w.send(func() {
			defer group.Done()
			w.mu.Lock()
			defer w.mu.Unlock()
			w.cut(fmt.Sprint("call back of batch ", i), 0)
		})
	}
	group.Wait()
	w.close()
	w.verify()
}

// A power cut while retention removes events brings back at most what it removed,
// with the numbers that it had.
func TestD3_PowerCutDuringRetention(t *testing.T) {
	w := newWorld(t, testSeed(t), nil)
	w.open()
	var group sync.WaitGroup
	for range 50 {
		group.Add(1)
		w.send(group.Done)
	}
	group.Wait()
	w.clock.pass(2 * time.Hour)
	w.mu.Lock()
	w.take = func() bool { return true }
	w.mu.Unlock()
	w.log.sweep()
	for range 5 {
		group.Add(1)
		w.send(group.Done)
	}
	group.Wait()
	w.close()
	ends := make(map[int]uint64)
	for p := range 3 {
		ends[p] = w.log.partitions[p].tail.sequence
	}
	for i := range w.cuts {
		c := &w.cuts[i]
		l, err := Open("log", w.options(c.fs))
		if err != nil {
			t.Errorf("%s: %v", c.at, err)
			continue
		}
		for p := range l.Partitions() {
			events := all(t, l, p, storage.Earliest())
			s := must(l.Stats(p))
			if s.Next > ends[p] || int(s.Next-s.First) != len(events) {
				t.Errorf("%s: partition %d: %+v with %d events, at most to %d", c.at, p, s, len(events), ends[p])
			}
		}
		l.sweep()
		if err := l.Close(); err != nil {
			t.Errorf("%s: %v", c.at, err)
		}
	}
	if len(w.cuts) == 0 {
		t.Error("no operations of the disk")
	}
}
