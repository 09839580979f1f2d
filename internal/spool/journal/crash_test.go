package journal

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func never() bool { return false }

func firstSeed(t testing.TB) uint64 {
	n := *seed
	if n == 0 {
		n = rand.Uint64()
	}
	t.Logf("repeat with -seed=%d", n)
	return n
}

func TestD3_PowerCutAtEveryOperation(t *testing.T) {
	t.Parallel()
	n := firstSeed(t)
	w := newWorld(t, n, vfs.NewCrashableMem(), func() bool { return true })
	w.script(60)
	for _, c := range w.cuts {
		c.verify(t, n, never)
	}
}

func TestD4_PowerCutWithSomeUnsyncedDataKept(t *testing.T) {
	t.Parallel()
	first := firstSeed(t)
	for i := range *seeds {
		n := first + uint64(i)
		chance := rand.New(rand.NewPCG(n, 3))
		w := newWorld(t, n, vfs.NewCrashableMem(), func() bool { return chance.IntN(30) == 0 })
		w.script(30)
		for _, c := range w.cuts {
			c.verify(t, n, never)
		}
	}
}

// The power goes again while the journal is opened, or shortly after.
func TestD6_PowerCutDuringRecovery(t *testing.T) {
	t.Parallel()
	first := firstSeed(t)
	for i := range *seeds / 30 {
		n := first + uint64(i)
		chance := rand.New(rand.NewPCG(n, 3))
		w := newWorld(t, n, vfs.NewCrashableMem(), func() bool { return chance.IntN(40) == 0 })
		w.script(20)
		for _, c := range w.cuts {
			for _, again := range c.verify(t, n, func() bool { return chance.IntN(4) == 0 }) {
				again.verify(t, n, never)
			}
		}
	}
}

// An operation that fails loses nothing either, whatever it is.
func TestF3_AFailureLosesNothing(t *testing.T) {
	t.Parallel()
	first := firstSeed(t)
	for i := range *seeds {
		w := newWorld(t, first+uint64(i), vfs.NewCrashableMem(), never)
		w.open()
		for range w.rng.IntN(20) {
			w.step()
		}
		left := w.rng.IntN(6)
		w.spy.set(func(op, name string) error {
			if left--; left == -1 {
				return fmt.Errorf("%s %s fails", op, name)
			}
			return nil
		})
		w.untilFailure()
		w.spy.set(nil)
		_ = w.j.Close()
		w.open() // by a process that comes after, on a system that went on
		w.cut("after all", 0)
		shut(t, w.j)
		w.cuts[0].verify(t, first+uint64(i), never)
		if t.Failed() {
			t.Fatalf("seed %d", first+uint64(i))
		}
	}
}

// untilFailure goes on as long as nothing fails.
func (w *world) untilFailure() {
	for {
		w.n++
		e := entry{w.j.Segment(), fmt.Sprint(w.n)}
		w.book.pending = &e
		if err := w.j.Append(block(e.content)); err != nil {
			if again := w.j.Append(block("late")); again != err {
				w.t.Errorf("after %v: %v", err, again)
			}
			return
		}
		w.book.pending = nil
		w.book.has = append(w.book.has, e)
		if w.j.Rotate() != nil {
			return
		}
		w.book.applied = max(w.book.applied, w.j.Segment()-min(w.j.Segment(), 3))
		if w.j.Release(w.book.applied) != nil {
			return
		}
	}
}
