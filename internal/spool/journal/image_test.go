package journal

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// files are a journal's, by name.
type files map[string][]byte

// written returns the files of a journal with one segment for each list of contents.
func written(t testing.TB, segments ...[]string) files {
	t.Helper()
	mem := vfs.NewMem()
	j, _ := open(t, over(mem), 0)
	for i, contents := range segments {
		if i > 0 {
			do(t, j.Rotate())
		}
		put(t, j, contents...)
	}
	shut(t, j)
	names, err := mem.List(dir)
	do(t, err)
	f := files{}
	for _, name := range names {
		b, err := mem.UnsafeGetFileDataBuffer(dir + "/" + name)
		do(t, err)
		f[name] = slices.Clone(b)
	}
	return f
}

// with are the files, one of them changed.
func (f files) with(name string, b []byte) files {
	g := files{}
	for n, old := range f {
		g[n] = old
	}
	g[name] = b
	return g
}

// open opens a journal with these files.
func (f files) open(t testing.TB, applied uint64) (got []string, err error) {
	t.Helper()
	mem := vfs.NewMem()
	do(t, mem.MkdirAll(dir, 0o700))
	for name, b := range f {
		file, err := mem.Create(dir+"/"+name, category)
		do(t, err)
		_, err = file.Write(bytes.Clone(b))
		do(t, err)
		do(t, file.Close())
	}
	j, err := Open(over(mem), dir, applied, Options{SegmentBytes: small}, func(b []byte) error {
		got = append(got, string(b))
		return nil
	})
	if err == nil {
		shut(t, j)
	}
	return got, err
}

// damaged wants a file, and an offset in it, to be named.
func damaged(t testing.TB, err error, name string, offset int) {
	t.Helper()
	var d *DamagedError
	if !errors.As(err, &d) || d.File != dir+"/"+name || d.Offset != int64(offset) || d.Reason == "" || !strings.Contains(err.Error(), name) {
		t.Fatalf("%s, damaged at %d: got %v", name, offset, err)
	}
}

// ends returns where a segment's blocks end.
func ends(contents []string) (at []int) {
	end := segmentHead
	for _, c := range contents {
		end = int(aligned(int64(end))) + blockHead + len(c)
		at = append(at, end)
	}
	return at
}
