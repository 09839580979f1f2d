package journal

import (
	"errors"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/disk"
)

// On a full disk Append and Release wait, and nothing is lost or there twice.
func TestF1_AppendWaitsForSpace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		spy := &spyFS{FS: vfs.NewMem()}
		fs := over(spy)
		j, _ := open(t, fs, 0)
		put(t, j, "before")
		var full atomic.Int32
		spy.set(func(op, name string) error {
			if op == "write" && full.Add(-1) >= 0 {
				return syscall.ENOSPC
			}
			return nil
		})
		for _, f := range []func() error{
			func() error { return j.Append(block("waits")) },
			j.Rotate,
			func() error { return j.Release(0) },
		} {
			full.Store(3)
			start := time.Now()
			do(t, f())
			if time.Since(start) == 0 {
				t.Error("it did not wait")
			}
		}
		put(t, j, "after")
		shut(t, j)
		_, got := open(t, fs, 0)
		same(t, got, "before", "waits", "after")
	})
}

// A journal that ends while it waits says so, and nothing is appended any more.
func TestF1_WaitingEnds(t *testing.T) {
	t.Parallel()
	spy := &spyFS{FS: vfs.NewMem()}
	ending := make(chan struct{})
	fs := disk.New(spy, disk.Options{
		Full:   func() { close(ending) },
		Fail:   func(e *disk.FatalError) { t.Errorf("told %v", e) },
		Ending: ending,
	})
	j, _ := open(t, fs, 0)
	put(t, j, "before")
	spy.set(func(op, name string) error { return syscall.ENOSPC })
	if err := j.Append(block("waits")); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v", err)
	}
	spy.set(nil)
	if err := j.Append(block("late")); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("afterwards: %v", err)
	}
	shut(t, j)
	_, got := open(t, over(spy.FS), 0)
	same(t, got, "before")
}
