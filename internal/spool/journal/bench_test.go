package journal

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// blockSizes are those of a record alone, and of many that came together.
var blockSizes = map[string]int{"300B": 300, "8KiB": 8 << 10}

// BenchmarkAppend has one block in flight: all it does is to wait for the disk.
func BenchmarkAppend(b *testing.B) {
	for name, size := range blockSizes {
		b.Run(name, func(b *testing.B) {
			j, err := Open(over(vfs.Default), filepath.Join(b.TempDir(), "j"), 0, Options{}, nil)
			do(b, err)
			do(b, j.Release(0))
			do(b, j.Rotate()) // to one that was made in the background
			block := make([]byte, Header+size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				do(b, j.Append(block))
				if j.Size() >= defaultSegmentBytes {
					do(b, j.Rotate())
					do(b, j.Release(j.Segment()-1))
				}
			}
			shut(b, j)
		})
	}
}

// BenchmarkBareFile is what Append is measured by: a file that grows.
func BenchmarkBareFile(b *testing.B) {
	for name, size := range blockSizes {
		b.Run(name, func(b *testing.B) {
			f, err := os.Create(filepath.Join(b.TempDir(), "file"))
			do(b, err)
			block := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				_, err := f.Write(block)
				do(b, err)
				do(b, f.Sync())
			}
			do(b, f.Close())
		})
	}
}

// BenchmarkReplay reads a segment, as after a crash.
func BenchmarkReplay(b *testing.B) {
	fs, dir := over(vfs.Default), filepath.Join(b.TempDir(), "j")
	j, err := Open(fs, dir, 0, Options{}, nil)
	do(b, err)
	block := make([]byte, Header+8<<10)
	for j.Size() < defaultSegmentBytes {
		do(b, j.Append(block))
	}
	r := stored{name: segmentName(j.Segment()), number: j.Segment()}
	b.SetBytes(j.Size())
	b.ReportAllocs()
	for b.Loop() {
		_, err := j.read(r, func([]byte) error { return nil })
		do(b, err)
	}
	shut(b, j)
}

// BenchmarkOpen makes a journal where there was none.
func BenchmarkOpen(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "j")
	for b.Loop() {
		j, err := Open(over(vfs.Default), dir, 0, Options{}, nil)
		do(b, err)
		b.StopTimer()
		shut(b, j)
		do(b, os.RemoveAll(dir))
		b.StartTimer()
	}
}

// BenchmarkRelease makes a file ahead that is filled with zeros.
func BenchmarkRelease(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "j")
	for b.Loop() {
		b.StopTimer()
		j, err := Open(over(vfs.Default), dir, 0, Options{}, nil)
		do(b, err)
		b.StartTimer()
		do(b, j.Release(0))
		b.StopTimer()
		shut(b, j)
		do(b, os.RemoveAll(dir))
		b.StartTimer()
	}
}
