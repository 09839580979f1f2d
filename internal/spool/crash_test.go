package spool

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

var (
	seed  = flag.Uint64("seed", 0, "seed of the randomized tests; 0: a new one each time")
	seeds = flag.Int("seeds", 250, "seeds of the power-cut tests")
)

// A ledger is what a client of the store knows, kept beside it: after a power
// cut, it says what must be there and what may be.
type ledger struct {
	mu        sync.Mutex
	given     map[string]int // name of a record -> number of the batch it was appended in
	batches   map[int][]string
	confirmed map[string]bool // done(nil) was called
	settled   map[string]bool // acknowledged, dead or expiring: may be gone
	expiring  map[string]bool // may go at any time, if it has not yet
	died      map[string]bool // Dead was called: in the queue or a dead letter
	durably   map[string]bool // settled, and a restart has confirmed it since
}

func newLedger() *ledger {
	return &ledger{
		given: map[string]int{}, batches: map[int][]string{}, confirmed: map[string]bool{},
		settled: map[string]bool{}, expiring: map[string]bool{}, died: map[string]bool{}, durably: map[string]bool{},
	}
}

func (l *ledger) clone() *ledger {
	l.mu.Lock()
	defer l.mu.Unlock()
	return &ledger{
		given: maps.Clone(l.given), batches: maps.Clone(l.batches), confirmed: maps.Clone(l.confirmed),
		settled: maps.Clone(l.settled), died: maps.Clone(l.died), durably: maps.Clone(l.durably),
	}
}

// nameOf tells a record from those that have the same data elsewhere. Names of one
// strand are in the order in which the records were appended.
func nameOf(data []byte, queue, lane string, priority uint32) string {
	return fmt.Sprintf("%s @%s/%s/%d", data, queue, lane, priority)
}

// A cut is the disk as a power cut at one moment leaves it.
type cut struct {
	at   string
	fs   *vfs.MemFS
	then *ledger
}

// A world is a store on a crashable disk with a script's client.
type world struct {
	t             testing.TB
	rng           *rand.Rand
	mem           *vfs.MemFS
	book          *ledger
	store         *Store
	clock         *testClock
	journal       int64 // bytes: how often there is a checkpoint
	serial, batch int
	dying         bool // something was declared dead since the last restart or purge

	mu    sync.Mutex
	take  func(op string) bool // whether to cut at this operation
	cuts  []cut
	ops   int
	chaos *rand.Rand // for the cuts' unsynced data; guarded by mu
}

func newWorld(t testing.TB, seed uint64, take func(op string) bool) *world {
	w := &world{
		t: t, rng: rand.New(rand.NewPCG(seed, 1)), chaos: rand.New(rand.NewPCG(seed, 2)),
		mem: vfs.NewCrashableMem(), book: newLedger(), take: take,
		clock: newTestClock(),
	}
	w.journal = [...]int64{512, 2 << 10, 64 << 10}[w.rng.IntN(3)]
	return w
}

// spy cuts the power ahead of operations, as take says.
func (w *world) spy(op, name string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ops++
	if w.take != nil && w.take(op) {
		w.cutLocked(fmt.Sprintf("operation %d: %s %s", w.ops, op, name), 0)
		w.cutLocked(fmt.Sprintf("operation %d: %s %s, some unsynced", w.ops, op, name), [...]int{10, 50, 90}[w.chaos.IntN(3)])
	}
	return nil
}

// cutLocked first copies what the client knows: what it learns while the disk is
// copied need not be on the copy.
func (w *world) cutLocked(at string, unsynced int) {
	then := w.book.clone()
	w.cuts = append(w.cuts, cut{at, w.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsynced, RNG: w.chaos}), then})
}

func (w *world) options(fs vfs.FS) Options {
	return Options{
		FS: fs, Now: w.clock.Now, WindowBytes: 2000, AckDelay: 100 * time.Microsecond,
		JournalBytes: w.journal, MaxDead: 1000, BallastBytes: -1,
	}
}

func (w *world) open() {
	w.t.Helper()
	s, err := Open("/s", w.options(&spyFS{w.mem, w.spy}))
	if err != nil {
		w.t.Fatal(err)
	}
	w.store = s
}

func (w *world) close() {
	w.t.Helper()
	if err := w.store.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.book.mu.Lock()
	for name := range w.book.settled { // Close has made them durable
		w.book.durably[name] = !w.book.expiring[name]
	}
	w.book.mu.Unlock()
}

// script runs steps of everything that a client can do.
func (w *world) script(steps int) {
	w.open()
	for range steps {
		switch n := w.rng.IntN(20); {
		case n < 9:
			w.append()
		case n < 18:
			w.deliver()
		case n < 19 && w.rng.IntN(3) > 0:
			w.clock.step(time.Second)
		case n < 19:
			w.purge(fmt.Sprint("q", w.rng.IntN(2)))
		default:
			w.close()
			w.open()
		}
	}
	w.close()
}

// append gives the store a few batches at once and waits for them.
func (w *world) append() {
	var group sync.WaitGroup
	for range 1 + w.rng.IntN(3) {
		entries, names := w.entries()
		group.Add(1)
		w.store.Append(entries, func(err error) {
			defer group.Done()
			if err != nil {
				w.t.Error(err)
				return
			}
			w.book.mu.Lock()
			for _, name := range names {
				w.book.confirmed[name] = true
			}
			w.book.mu.Unlock()
		})
	}
	group.Wait()
}

func (w *world) entries() (entries []Entry, names []string) {
	w.batch++
	places := w.rng.Perm(8)
	for i := range 1 + w.rng.IntN(3) {
		e := Entry{
			Queue: fmt.Sprint("q", places[i]&1), Lane: fmt.Sprint("l", places[i]>>1&1), Priority: uint32(places[i] >> 2),
		}
		if w.rng.IntN(10) == 0 {
			e.Expires = w.clock.Now().Add(time.Duration(w.rng.IntN(3000)) * time.Millisecond)
		}
		if i > 0 && w.rng.IntN(2) == 0 {
			e.Data = entries[i-1].Data
		} else {
			w.serial++
			e.Data = fmt.Appendf(nil, "%06d %s", w.serial, strings.Repeat("x", w.rng.IntN(200)))
		}
		entries, names = append(entries, e), append(names, nameOf(e.Data, e.Queue, e.Lane, e.Priority))
	}
	w.book.mu.Lock()
	for _, name := range names {
		w.book.given[name] = w.batch
	}
	w.book.batches[w.batch] = names
	w.book.mu.Unlock()
	for i, e := range entries {
		if !e.Expires.IsZero() {
			w.book.mu.Lock()
			w.book.settled[names[i]], w.book.expiring[names[i]] = true, true
			w.book.mu.Unlock()
		}
	}
	return entries, names
}

func (w *world) settle(name string, died bool) {
	w.book.mu.Lock()
	defer w.book.mu.Unlock()
	w.book.settled[name] = true
	if died {
		w.book.died[name] = true
	}
}

// purge empties a queue. What was declared dead before is a dead letter by then.
func (w *world) purge(queue string) {
	if w.dying {
		w.dying = false
		if err := try(w.store); err != nil {
			w.t.Error(err)
		}
	}
	w.book.mu.Lock()
	for name := range w.book.given {
		if strings.Contains(name, " @"+queue+"/") {
			w.book.settled[name] = true
		}
	}
	w.book.mu.Unlock()
	if _, err := w.store.Queue(queue).Purge(); err != nil {
		w.t.Error(err)
	}
}

// deliver leases a lane of a random queue, reads, and settles some of it.
func (w *world) deliver() {
	q := w.store.Queue(fmt.Sprint("q", w.rng.IntN(2)))
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	l, err := q.Acquire(ctx)
	if err != nil {
		return
	}
	defer l.Release(0)
	recs, err := l.Read(1+w.rng.IntN(8), 1<<20)
	if err != nil {
		w.t.Error(err)
	}
	for _, r := range recs {
		name := nameOf(r.Data, q.Name(), l.Lane(), r.Priority)
		switch n := w.rng.IntN(10); {
		case n < 7:
			w.settle(name, false)
			l.Ack(r)
		case n < 8:
			w.settle(name, true)
			w.dying = true
			l.Dead(r, "refused")
		}
	}
}

// verify opens what a power cut left and compares it with the ledger.
func (c *cut) verify(t testing.TB, opt Options) {
	t.Helper()
	s, err := Open("/s", opt)
	if err != nil {
		t.Fatalf("%s: %v", c.at, err)
	}
	defer s.Close()
	found := map[string]bool{}
	for _, q := range s.Queues() {
		stats := q.Stats()
		n := c.collect(t, q, found)
		if n != int(stats.Records) {
			t.Errorf("%s: queue %s says %d records, has %d", c.at, q.Name(), stats.Records, n)
		}
	}
	letters, err := s.DeadLetters(0, 1<<20)
	if err != nil {
		t.Fatalf("%s: %v", c.at, err)
	}
	for _, l := range letters {
		name := nameOf(l.Data, l.Queue, l.Lane, l.Priority)
		if found[name] || !c.then.died[name] && c.then.confirmed[name] {
			t.Errorf("%s: dead letter %.6q: in the queue too: %v", c.at, name, found[name])
		}
		found[name] = true
	}
	c.compare(t, found)
	sweptBehind(t, s)
	checkShared(t, s)
	if t.Failed() {
		t.Fatal(c.at)
	}
}

// collect reads a queue to its end, with time standing still before any expiry.
func (c *cut) collect(t testing.TB, q *Queue, found map[string]bool) (n int) {
	t.Helper()
	lanes := len(q.Lanes())
	for range lanes {
		l := acquire(t, q)
		last := map[uint32]string{}
		for recs := read(t, l, 7); len(recs) > 0; recs = read(t, l, 7) {
			for _, r := range recs {
				name := nameOf(r.Data, q.Name(), l.Lane(), r.Priority)
				if found[name] || name <= last[r.Priority] {
					t.Errorf("%s: %.20q after %.20q, seen before: %v", c.at, name, last[r.Priority], found[name])
				}
				last[r.Priority], found[name] = name, true
				n++
			}
		}
	}
	return n
}

func (c *cut) compare(t testing.TB, found map[string]bool) {
	t.Helper()
	for name := range found {
		if _, ok := c.then.given[name]; !ok {
			t.Errorf("%s: %q was never appended, or is altered", c.at, name)
		}
		if c.then.durably[name] && !c.then.died[name] {
			t.Errorf("%s: %.6q is back after a clean restart without it", c.at, name)
		}
	}
	for name := range c.then.confirmed {
		if !found[name] && (!c.then.settled[name] || c.then.died[name]) {
			t.Errorf("%s: %.6q is lost", c.at, name)
		}
	}
	for _, names := range c.then.batches {
		there := 0
		for _, name := range names {
			if found[name] || c.then.settled[name] {
				there++
			}
		}
		if there != len(names) && there != settledOf(c.then, names) {
			t.Errorf("%s: %d of a batch of %d are there", c.at, there, len(names))
		}
	}
}

func settledOf(l *ledger, names []string) (n int) {
	for _, name := range names {
		if l.settled[name] {
			n++
		}
	}
	return n
}

// beforeExpiry is a clock that lets nothing expire.
func beforeExpiry() time.Time { return time.Unix(0, 0) }

func verifyOptions(fs vfs.FS) Options {
	return Options{FS: fs, Now: beforeExpiry, JournalBytes: 64 << 10, BallastBytes: -1}
}

func TestD3_PowerCutAtEveryOperation(t *testing.T) {
	steps := 180
	if testing.Short() {
		steps = 60
	}
	seed := testSeed(t)
	w := newWorld(t, seed, func(string) bool { return true })
	w.script(steps)
	t.Logf("%d operations, %d cuts", w.ops, len(w.cuts))
	for i := range w.cuts {
		w.cuts[i].verify(t, verifyOptions(w.cuts[i].fs))
	}
}

// testSeed says which seed a randomized test runs with, and how to repeat it.
func testSeed(t testing.TB) uint64 {
	n := *seed
	if n == 0 {
		n = rand.Uint64()
	}
	t.Logf("repeat with -seed=%d", n)
	return n
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
		w := newWorld(t, seed, func(string) bool { return chance.IntN(40) == 0 })
		w.script(20)
		for i := range w.cuts {
			w.cuts[i].verify(t, verifyOptions(w.cuts[i].fs))
		}
		if t.Failed() {
			t.Fatalf("repeat with -seed=%d", seed)
		}
	}
}

func TestD6_PowerCutDuringRecovery(t *testing.T) {
	chance := rand.New(rand.NewPCG(testSeed(t), 3))
	w := newWorld(t, chance.Uint64(), func(string) bool { return chance.IntN(60) == 0 })
	w.script(60)
	for _, first := range w.cuts {
		again := &world{mem: first.fs, book: first.then, chaos: chance, take: func(string) bool { return true }}
		s, err := Open("/s", verifyOptions(&spyFS{first.fs, again.spy}))
		if err != nil {
			t.Fatalf("%s: %v", first.at, err)
		}
		again.mu.Lock()
		cuts := slices.Clone(again.cuts) // more come, until the store is closed
		again.mu.Unlock()
		for i := range cuts {
			cuts[i].at = first.at + ", then during recovery at " + cuts[i].at
			cuts[i].verify(t, verifyOptions(cuts[i].fs))
		}
		s.Close()
	}
}

// At the moment of every acknowledgement, a disk without anything unsynced must
// have the record.
func TestD15_NothingIsAcknowledgedBeforeItsSync(t *testing.T) {
	w := newWorld(t, testSeed(t), nil)
	w.open()
	var group sync.WaitGroup
	for range 200 {
		entries, names := w.entries()
		for i := range entries {
			entries[i].Expires = time.Time{}
		}
		group.Add(1)
		w.store.Append(entries, func(err error) {
			defer group.Done()
			if err != nil {
				t.Error(err)
			}
			w.book.mu.Lock()
			for _, name := range names {
				w.book.confirmed[name] = true
				delete(w.book.settled, name)
			}
			w.book.mu.Unlock()
			w.mu.Lock()
			defer w.mu.Unlock()
			w.cutLocked(fmt.Sprintf("acknowledgement of %.6q", names[0]), 0)
		})
	}
	group.Wait()
	w.close()
	for i := range w.cuts {
		w.cuts[i].verify(t, verifyOptions(w.cuts[i].fs))
	}
}
