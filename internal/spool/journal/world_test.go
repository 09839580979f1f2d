package journal

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

var (
	seed  = flag.Uint64("seed", 0, "seed of the randomized tests; 0: a new one each time")
	seeds = flag.Int("seeds", 200, "seeds of the power-cut tests")
)

// An entry is a block that a journal's owner knows of.
type entry struct {
	segment uint64
	content string
}

// A ledger is what the owner knows: Append returned nil for what it has, in order.
type ledger struct {
	has     []entry
	pending *entry // Append did not return, or returned an error
	applied uint64 // written down durably
}

// A cut is the disk as a power cut at one moment leaves it.
type cut struct {
	at   string
	fs   *vfs.MemFS
	then ledger
}

// A world is a journal on a crashable disk, and its owner.
type world struct {
	t     testing.TB
	rng   *rand.Rand
	mem   *vfs.MemFS
	spy   *spyFS
	book  ledger
	j     *Journal
	n     int
	ops   int
	take  func() bool // whether to cut at an operation
	cuts  []cut
	chaos *rand.Rand
}

func newWorld(t testing.TB, seed uint64, mem *vfs.MemFS, take func() bool) *world {
	w := &world{
		t: t, rng: rand.New(rand.NewPCG(seed, 1)), chaos: rand.New(rand.NewPCG(seed, 2)),
		mem: mem, spy: &spyFS{FS: mem}, take: take,
	}
	w.spy.long = w.rng.IntN(2) == 0
	w.spy.set(w.before)
	return w
}

func (w *world) before(op, name string) error {
	w.ops++
	if w.take() {
		at := fmt.Sprintf("operation %d: %s %s", w.ops, op, name)
		w.cut(at, 0)
		w.cut(at+", some unsynced", [...]int{10, 50, 90}[w.chaos.IntN(3)])
		w.cut(at+", all unsynced", 100)
	}
	return nil
}

func (w *world) cut(at string, unsynced int) {
	then := w.book
	then.has = slices.Clone(then.has)
	w.cuts = append(w.cuts, cut{at, w.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsynced, RNG: w.chaos}), then})
}

// open opens the journal and compares it with the ledger.
func (w *world) open() {
	w.t.Helper()
	var got []string
	j, err := Open(over(w.spy), dir, w.book.applied, Options{SegmentBytes: small}, func(b []byte) error {
		got = append(got, string(b))
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.j = j
	w.book.match(w.t, got)
}

// match compares what was replayed with what was appended, and takes what was pending
// and is there for appended from now on.
func (l *ledger) match(t testing.TB, got []string) {
	t.Helper()
	want := l.due()
	if l.pending != nil && len(got) == len(want)+1 && got[len(want)] == l.pending.content {
		l.has = append(l.has, *l.pending)
		want = append(want, l.pending.content)
	}
	l.pending = nil
	if !slices.Equal(got, want) {
		t.Fatalf("replayed %s\nof %s", numbers(got), numbers(want))
	}
}

func (l *ledger) due() (want []string) {
	for _, e := range l.has {
		if e.segment > l.applied {
			want = append(want, e.content)
		}
	}
	return want
}

// numbers are the contents' first words.
func numbers(contents []string) string {
	var s []string
	for _, c := range contents {
		number, _, _ := strings.Cut(c, " ")
		s = append(s, number)
	}
	return fmt.Sprint(s)
}

func (w *world) append() {
	w.t.Helper()
	w.n++
	length := [...]int{0, 10, 300, 5000, 12000}[w.rng.IntN(5)]
	content := fmt.Sprintf("%d-%d %s", w.n, w.rng.Uint32(), strings.Repeat("x", w.rng.IntN(length+1)))
	e := entry{w.j.Segment(), content}
	w.book.pending = &e
	put(w.t, w.j, content)
	w.book.pending = nil
	w.book.has = append(w.book.has, e)
}

// release writes down that some segments are applied, and gives them up, or some of them.
func (w *world) release() {
	w.t.Helper()
	if last := w.j.Segment() - 1; w.book.applied < last {
		w.book.applied += 1 + w.rng.Uint64N(last-w.book.applied)
	}
	do(w.t, w.j.Release(w.book.applied-min(w.book.applied, w.rng.Uint64N(2))))
}

func (w *world) step() {
	w.t.Helper()
	switch n := w.rng.IntN(20); {
	case n < 12:
		w.append()
	case n < 15:
		do(w.t, w.j.Rotate())
	case n < 19:
		w.release()
	default:
		shut(w.t, w.j)
		w.open()
	}
}

func (w *world) script(steps int) {
	w.t.Helper()
	w.open()
	for range steps {
		w.step()
	}
	shut(w.t, w.j)
}

// verify opens what a cut left, goes on with it for a while, and opens it again.
func (c *cut) verify(t testing.TB, seed uint64, take func() bool) []cut {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("%s, seed %d", c.at, seed)
		}
	}()
	w := newWorld(t, seed, c.fs, take)
	w.book, w.n = c.then, 1000+len(c.then.has)
	w.script(4)
	w.open()
	shut(t, w.j)
	for i := range w.cuts {
		w.cuts[i].at = c.at + ", then " + w.cuts[i].at
	}
	return w.cuts
}
