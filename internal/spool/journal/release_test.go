package journal

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Files are used again, and no more of them are kept than are needed, also of those that
// a process before left.
func TestReleasedSegmentsAreUsedAgain(t *testing.T) {
	t.Parallel()
	fs := over(vfs.NewMem())
	j, _ := open(t, fs, 0)
	do(t, j.Release(0))
	for i := range 20 {
		put(t, j, fmt.Sprint("block ", i, string(make([]byte, small))))
		do(t, j.Rotate())
		if i%5 == 4 {
			do(t, j.Release(j.Segment()-1))
			onDisk(t, fs, j, 1+maxSpares)
		}
		if i%7 == 6 {
			shut(t, j)
			j, _ = open(t, fs, j.Segment()-uint64(i%2)-1)
		}
	}
	put(t, j, "last")
	do(t, j.Release(j.Segment()+100)) // never the one being written
	onDisk(t, fs, j, 1+maxSpares)
	shut(t, j)
	_, got := open(t, fs, j.Segment()-1)
	same(t, got, "last")
}

// onDisk wants no more files than that, and that Bytes counts them.
func onDisk(t testing.TB, fs vfs.FS, j *Journal, most int) {
	t.Helper()
	names, err := fs.List(dir)
	do(t, err)
	if len(names) > most {
		t.Errorf("files %v", names)
	}
	var sum int64
	for _, name := range names {
		info, err := fs.Stat(fs.PathJoin(dir, name))
		do(t, err)
		sum += info.Size()
	}
	if n := j.Bytes(); n != sum {
		t.Errorf("%d bytes in %v, says %d", sum, names, n)
	}
}

func TestSparesThatAreTooManyAreRemoved(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	do(t, mem.MkdirAll(dir, 0o700))
	for n := range uint64(9) {
		f, err := mem.Create(dir+"/"+spareName(n), category)
		do(t, err)
		_, err = f.Write(make([]byte, small))
		do(t, errors.Join(err, f.Close()))
	}
	j, _ := open(t, over(mem), 0)
	onDisk(t, mem, j, 1+maxSpares)
	for range 9 { // those made now have names of their own
		do(t, j.Rotate())
		do(t, j.Rotate())
		do(t, j.Release(j.Segment()-1))
		onDisk(t, mem, j, 1+maxSpares)
	}
	shut(t, j)
}

// What is made ahead was written from its start to its end, once in a file's life.
func TestAFreshFileIsFilledOnce(t *testing.T) {
	t.Parallel()
	filled := 0
	spy := &spyFS{FS: vfs.NewMem(), long: true}
	spy.set(func(op, name string) error {
		if op == "write" {
			filled++
		}
		return nil
	})
	j, _ := open(t, over(spy), 0)
	for round := range 6 {
		filled = 0
		do(t, j.Release(j.Segment()-1))
		if got, want := filled > 2, round < 2; got != want { // a file's first bytes are written twice
			t.Errorf("round %d: filled is %v", round, got)
		}
		if j.next.written != small || j.next.length != small {
			t.Errorf("round %d: %d of %d bytes written", round, j.next.written, j.next.length)
		}
		do(t, j.Rotate())
		if round%2 == 1 {
			shut(t, j)
			j, _ = open(t, over(spy), j.Segment()-1)
		}
	}
	shut(t, j)
}

// A segment that became a spare is not written before its old name is gone for good.
func TestDirectoryIsSyncedBeforeAFileIsUsedAgain(t *testing.T) {
	t.Parallel()
	spy := &spyFS{FS: vfs.NewMem()}
	renamed := false
	spy.set(func(op, name string) error {
		switch {
		case op == "rename" && strings.Contains(name, sparePrefix):
			renamed = true
		case op == "sync" && name == dir:
			renamed = false
		case op == "open" && renamed:
			return fmt.Errorf("%s is used", name)
		}
		return nil
	})
	j, _ := open(t, over(spy), 0)
	for range 10 {
		put(t, j, "x")
		do(t, j.Rotate())
		do(t, j.Release(j.Segment()-1))
		do(t, j.Rotate())
		put(t, j, "y")
		shut(t, j)
		j, _ = open(t, over(spy), j.Segment())
	}
	shut(t, j)
}

// A file that has grown far is not kept.
func TestALargeSpareIsRemoved(t *testing.T) {
	t.Parallel()
	fs := over(vfs.NewMem())
	j, _ := open(t, fs, 0)
	put(t, j, string(make([]byte, 3*small)))
	do(t, j.Rotate())
	do(t, j.Release(j.Segment()-1))
	if n := j.Bytes(); n > 2*small {
		t.Errorf("%d bytes are kept", n)
	}
	shut(t, j)
}

// Rotate does nothing that takes time when the next segment is made ahead.
func TestRotateIsFastWhenTheNextSegmentIsMade(t *testing.T) {
	t.Parallel()
	spy := &spyFS{FS: vfs.NewMem()}
	j, _ := open(t, over(spy), 0)
	for range 4 {
		do(t, j.Release(j.Segment()-1))
		spy.set(func(op, name string) error { return fmt.Errorf("%s %s", op, name) })
		do(t, j.Rotate())
		spy.set(nil)
		put(t, j, "x")
	}
	shut(t, j)
}
