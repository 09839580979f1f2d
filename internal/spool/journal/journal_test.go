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
