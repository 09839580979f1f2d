// Package await waits, in tests, for what must happen. Only tests import it.
//
// Nothing here says how long something takes: what has not happened within [Patience]
// never will, and the test ends as failed.
package await

import (
	"context"
	"sync"
	"testing"
	"time"
)

// Patience is how long a test waits for what must happen: longer than it takes on a
// machine that has much else to do.
const Patience = time.Minute

// True waits until holds returns true. It asks again every few milliseconds.
func True(t testing.TB, what string, holds func() bool) {
	t.Helper()
	if late := poll(holds); late {
		t.Fatalf("%s: not within %s", what, Patience)
	}
}

// Success tries until there is no error.
func Success(t testing.TB, what string, try func() error) {
	t.Helper()
	var err error
	if late := poll(func() bool { err = try(); return err == nil }); late {
		t.Fatalf("%s: not within %s: %v", what, Patience, err)
	}
}

func poll(done func() bool) (late bool) {
	deadline := time.Now().Add(Patience)
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for !done() {
		if time.Now().After(deadline) {
			return true
		}
		<-again.C
	}
	return false
}

// Value waits for a value from a channel, or its end.
func Value[T any](t testing.TB, from <-chan T, what string) T {
	t.Helper()
	late := time.NewTimer(Patience)
	defer late.Stop()
	select {
	case v := <-from:
		return v
	case <-late.C:
		t.Fatalf("%s: not within %s", what, Patience)
		panic("not reached")
	}
}

// Run runs something until stop is called, which waits for its end.
func Run(f func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { f(ctx) })
	return func() {
		cancel()
		running.Wait()
	}
}
