package journal

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/disk"
)

// dir is where tests have a journal in memory.
const dir = "/j"

// small is a segment's length in tests.
const small = 8 << 10

func over(below vfs.FS) *disk.FS {
	return disk.New(below, disk.Options{Fail: func(*disk.FatalError) {}})
}

// open opens a journal and returns the blocks that it replayed.
func open(t testing.TB, fs *disk.FS, applied uint64) (*Journal, []string) {
	t.Helper()
	return openIn(t, fs, dir, applied)
}

func openIn(t testing.TB, fs *disk.FS, dir string, applied uint64) (*Journal, []string) {
	t.Helper()
	var got []string
	j, err := Open(fs, dir, applied, Options{SegmentBytes: small}, func(b []byte) error {
		got = append(got, string(b))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return j, got
}

func shut(t testing.TB, j *Journal) {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}

// block returns content with room for the journal, with something in it.
func block(content string) []byte {
	return append(bytes.Repeat([]byte{0xee}, Header), content...)
}

func put(t testing.TB, j *Journal, contents ...string) {
	t.Helper()
	for _, c := range contents {
		if err := j.Append(block(c)); err != nil {
			t.Fatal(err)
		}
	}
}

func do(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func same(t testing.TB, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("replayed %.200q\n    want %.200q", got, want)
	}
}

func TestWhatWasAppendedComesBackInOrder(t *testing.T) {
	t.Parallel()
	t.Run("memory", func(t *testing.T) { t.Parallel(); inOrder(t, over(vfs.NewMem()), dir) })
	t.Run("disk", func(t *testing.T) { t.Parallel(); inOrder(t, over(vfs.Default), filepath.Join(t.TempDir(), "j")) })
}

func inOrder(t *testing.T, fs *disk.FS, dir string) {
	j, got := openIn(t, fs, dir, 0)
	same(t, got)
	var want []string
	for i := range 40 {
		c := fmt.Sprint(i) + string(bytes.Repeat([]byte{byte(i)}, i*i))
		put(t, j, c)
		want = append(want, c)
		if i%7 == 6 {
			do(t, j.Rotate())
			do(t, j.Release(0))
		}
	}
	shut(t, j)
	for range 3 { // it stays until it is released, however often it is opened
		j, got = openIn(t, fs, dir, 0)
		same(t, got, want...)
		shut(t, j)
	}
	j, got = openIn(t, fs, dir, j.Segment())
	same(t, got)
	shut(t, j)
}

func TestABlockMayBeEmptyOrLarge(t *testing.T) {
	t.Parallel()
	fs := over(vfs.NewMem())
	j, _ := open(t, fs, 0)
	large := string(bytes.Repeat([]byte("0123456789"), 300<<10))
	put(t, j, "", large, "", "", "x")
	if size := j.Size(); size <= int64(len(large)) || j.Bytes() < size {
		t.Errorf("size %d, %d on disk", size, j.Bytes())
	}
	shut(t, j)
	_, got := open(t, fs, 0)
	same(t, got, "", large, "", "", "x")
}

func TestABlockThatIsNoneEndsTheJournal(t *testing.T) {
	t.Parallel()
	for want, b := range map[error][]byte{
		errNoRoom:   make([]byte, Header-1),
		errTooLarge: make([]byte, Header+MaxContent+1),
	} {
		fs := over(vfs.NewMem())
		j, _ := open(t, fs, 0)
		put(t, j, "good")
		if err := j.Append(b); !errors.Is(err, want) {
			t.Errorf("got %v", err)
		}
		if err := j.Append(block("late")); !errors.Is(err, want) {
			t.Errorf("afterwards: %v", err)
		}
		if err := j.Rotate(); !errors.Is(err, want) {
			t.Errorf("the next segment: %v", err)
		}
		shut(t, j)
		_, got := open(t, fs, 0)
		same(t, got, "good")
	}
}

func TestWhatWasAppliedIsNotReplayed(t *testing.T) {
	t.Parallel()
	fs := over(vfs.NewMem())
	j, _ := open(t, fs, 0)
	put(t, j, "one")
	do(t, j.Rotate())
	put(t, j, "two")
	first := j.Segment()
	do(t, j.Rotate())
	put(t, j, "three")
	shut(t, j)
	j, got := open(t, fs, first)
	same(t, got, "three")
	if n := j.Segment(); n <= first+1 {
		t.Errorf("segment %d after %d", n, first+1)
	}
	last := j.Segment()
	shut(t, j)
	j, got = open(t, fs, last+5)
	same(t, got)
	if n := j.Segment(); n != last+6 {
		t.Errorf("segment %d, %d were applied", n, last+5)
	}
	shut(t, j)
}

func TestReplaysErrorComesBackAsItIs(t *testing.T) {
	t.Parallel()
	fs := over(vfs.NewMem())
	j, _ := open(t, fs, 0)
	put(t, j, "one", "two")
	shut(t, j)
	enough := errors.New("enough")
	n := 0
	_, err := Open(fs, dir, 0, Options{}, func([]byte) error { n++; return enough })
	if err != enough || n != 1 {
		t.Errorf("%d blocks, error %v", n, err)
	}
	_, got := open(t, fs, 0)
	same(t, got, "one", "two")
}

func TestADirectoryWithoutItsParentIsNotMade(t *testing.T) {
	t.Parallel()
	_, err := Open(over(vfs.NewMem()), "/not/there", 0, Options{}, nil)
	if err == nil {
		t.Error("it was made")
	}
}

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

// A file does not get a new name before its old one is gone for good.
func TestDirectoryIsSyncedBeforeAFileIsUsedAgain(t *testing.T) {
	t.Parallel()
	spy := &spyFS{FS: vfs.NewMem()}
	renamed := false
	spy.set(func(op, name string) error {
		switch {
		case op == "rename":
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
