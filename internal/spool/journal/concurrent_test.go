package journal

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Segments are given up, and those for later made, while others are written.
func TestReleaseBesideAppend(t *testing.T) {
	t.Parallel()
	fs := over(&spyFS{FS: vfs.NewMem(), long: true})
	j, _ := open(t, fs, 0)
	var done atomic.Bool
	var group sync.WaitGroup
	group.Go(func() {
		for last := uint64(0); !done.Load(); last = j.Segment() - 1 {
			if err := j.Release(last - min(last, 1)); err != nil {
				t.Error(err)
				return
			}
			if n := j.Bytes(); n < j.Size() {
				t.Errorf("%d bytes on disk", n)
			}
		}
	})
	var all []entry
	for i := range 500 {
		e := entry{j.Segment(), fmt.Sprint(i)}
		put(t, j, e.content)
		all = append(all, e)
		if i%3 == 2 {
			do(t, j.Rotate())
		}
	}
	done.Store(true)
	group.Wait()
	applied := j.Segment() - 2
	shut(t, j)
	_, got := open(t, fs, applied)
	book := ledger{has: all, applied: applied}
	book.match(t, got)
}
