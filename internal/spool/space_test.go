package spool

import (
	"errors"
	"log/slog"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// freeSpace is a file system with so much space left.
type freeSpace struct {
	vfs.FS
	free uint64
}

func (d *freeSpace) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: d.free}, nil
}

// What the ballast gives up is for draining. If appends had it, the disk would be
// full again at once, with nothing left to give up.
func TestF1_TheSpaceOfTheBallastIsNotForAppends(t *testing.T) {
	const ballast = 64 << 10
	for _, minFree := range []int64{-1, 4096} {
		least := uint64(max(0, minFree))
		d := &freeSpace{FS: vfs.NewMem(), free: 1 << 20}
		sp := &space{fs: d, log: slog.New(slog.DiscardHandler), minFree: minFree, ballast: ballast}
		refuses := func(free uint64) bool {
			d.free, sp.checked = free, time.Time{}
			return sp.low()
		}
		sp.restore()
		if !sp.laden || refuses(least) {
			t.Fatalf("min free %d: not at work with %d bytes left and the ballast laden", minFree, least)
		}
		sp.spent()
		if !sp.short.Load() || !refuses(ballast-1) || !refuses(least+ballast-1) {
			t.Errorf("min free %d: the ballast's space is taken by appends", minFree)
		}
		if refuses(least + ballast) {
			t.Errorf("min free %d: refuses though there is space for the ballast and more", minFree)
		}
		d.free = 1 << 20
		sp.restore()
		if !sp.laden || refuses(least) {
			t.Errorf("min free %d: not as before when space has returned", minFree)
		}
	}
}

// The ballast of the run before is there for a store that is opened on a full disk, so
// that what waits can be sent.
func TestF1_AStoreOnAFullDiskOpensWithItsBallast(t *testing.T) {
	mem := vfs.NewMem()
	opt := Options{FS: mem, BallastBytes: 64 << 10, MinFree: 4096}
	mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 30})
	s := open(t, "/s", opt)
	put(t, s, entry("q", "lane", 0, "kept"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1})
	opt.FS = &spyFS{mem, func(op, _ string) error {
		if _, err := mem.Stat("/s/BALLAST"); err == nil && op == "write" {
			return syscall.ENOSPC
		}
		return nil
	}}
	s = open(t, "/s", opt)
	if got := texts(read(t, acquire(t, s.Queue("q")), 9)); got != "kept" {
		t.Errorf("read %q", got)
	}
	if err := try(s, entry("q", "lane", 0, "more")); !errors.Is(err, ErrNoSpace) {
		t.Errorf("an append on a full disk: %v", err)
	}
}
