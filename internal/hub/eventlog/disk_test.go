package eventlog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"sluice/internal/await"
	"sluice/internal/hub/storage"
	"sluice/iot"
)

// F1: with little space left appends are refused, what is there is kept and read,
// and appends are taken again when space returns.
func TestF1_LittleSpaceLeft(t *testing.T) {
	mem := vfs.NewMem()
	mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 30})
	l := open(t, Options{FS: mem, Partitions: 1, MinFree: 1 << 20})
	mustPut(t, l, "dev1", "before")
	mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1<<20 - 1})
	await.True(t, "appends to be refused", func() bool { return errors.Is(put(l, "dev1", "x"), storage.ErrNoSpace) })
	before := len(all(t, l, 0, storage.Earliest()))
	for range 10 {
		if err := put(l, "dev1", "refused"); !errors.Is(err, storage.ErrNoSpace) {
			t.Fatalf("an append with little space left: %v", err)
		}
	}
	if after := len(all(t, l, 0, storage.Earliest())); after != before {
		t.Errorf("%d refused events are stored", after-before)
	}
	mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 30})
	await.True(t, "appends to be taken", func() bool { return put(l, "dev1", "after") == nil })
	events := all(t, l, 0, storage.Earliest())
	if last := textsOf(events)[len(events)-1]; last != "after" {
		t.Errorf("the last event is %q", last)
	}
}

// F1, F2: a write that finds the disk full waits; nothing is called back before it
// is stored, and nothing is lost.
func TestF1_TheDiskFillsUpUnderAWrite(t *testing.T) {
	mem := vfs.NewMem()
	disk := newFaults(mem)
	l := open(t, Options{FS: disk, Partitions: 1})
	mustPut(t, l, "dev1", "before")
	disk.fail(writeOfLog, &fs.PathError{Op: "write", Path: "log", Err: syscall.ENOSPC})
	var waiting atomic.Bool
	result := make(chan error, 1)
	waiting.Store(true)
	l.Append(iot.DeviceIdentity("dev1"), []iot.Message{message("waits")}, func(err error) {
		if waiting.Load() {
			t.Error("called back while the disk was full")
		}
		result <- err
	})
	await.True(t, "the log to notice", func() bool { return l.space.short.Load() })
	if got := len(all(t, l, 0, storage.Earliest())); got != 1 {
		t.Errorf("%d events are readable, want 1", got)
	}
	waiting.Store(false)
	disk.set(nil)
	if err := <-result; err != nil {
		t.Fatalf("when space has returned: %v", err)
	}
	await.True(t, "appends to be taken", func() bool { return put(l, "dev1", "after") == nil })
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	texts := textsOf(all(t, open(t, Options{FS: mem}), 0, storage.Earliest()))
	if texts[0] != "before" || texts[1] != "waits" || texts[len(texts)-1] != "after" {
		t.Errorf("events %v", texts)
	}
}

// F2: so does a flush of Pebble's, at whatever file it happens.
func TestF2_TheDiskIsFullForATable(t *testing.T) {
	mem := vfs.NewMem()
	disk := newFaults(mem)
	l := open(t, Options{FS: disk, Partitions: 1})
	texts := fill(t, l, "dev1", 50)
	disk.fail(func(op errorfs.Op) bool { return isTable(op.Path) && op.Kind == errorfs.OpFileWrite }, syscall.ENOSPC)
	flushed := make(chan error, 1)
	go func() { flushed <- l.db.Flush() }()
	await.True(t, "the log to notice", func() bool { return l.space.short.Load() })
	wantTexts(t, all(t, l, 0, storage.Earliest()), texts)
	disk.set(nil)
	if err := <-flushed; err != nil {
		t.Fatal(err)
	}
	await.True(t, "appends to be taken", func() bool { return put(l, "dev1", "after") == nil })
}

// F3: after a failed fsync nothing is called back with nil any more, the owner is
// told which file it was, once, and the next Open recovers.
func TestF3_AFailedSyncIsFinal(t *testing.T) {
	failed.Store(true)
	mem := vfs.NewCrashableMem()
	disk := newFaults(mem)
	told := make(chan error, 10)
	l := open(t, Options{FS: disk, Partitions: 1, Fatal: func(err error) { told <- err }})
	texts := fill(t, l, "dev1", 5)
	var once atomic.Bool
	disk.set(func(op errorfs.Op) error {
		if syncOfLog(op) && once.CompareAndSwap(false, true) {
			return syscall.EIO // once: the next would say that all is well
		}
		return nil
	})
	var fatal *FatalError
	for range 5 {
		if err := put(l, "dev1", "lost"); !errors.As(err, &fatal) {
			t.Fatalf("an append after a failed fsync: %v", err)
		}
	}
	if err := <-told; !errors.As(err, &fatal) || !isLog(fatal.File) || !errors.Is(err, syscall.EIO) {
		t.Errorf("the owner is told %v", err)
	}
	if len(told) != 0 {
		t.Error("the owner is told again")
	}
	if !errors.As(l.Err(), &fatal) || !errors.As(l.Close(), &fatal) {
		t.Errorf("Err = %v", l.Err())
	}
	wantTexts(t, all(t, open(t, Options{FS: mem.CrashClone(vfs.CrashCloneCfg{})}), 0, storage.Earliest()), texts)
}

func TestF3_AReaderOfAFailedLogLearnsWhy(t *testing.T) {
	failed.Store(true)
	disk := newFaults(vfs.NewMem())
	l := open(t, Options{FS: disk, Partitions: 1})
	result := make(chan error, 1)
	r := mustRead(t, l, 0, storage.Latest())
	go func() {
		_, err := r.Read(t.Context(), 1)
		result <- err
	}()
	disk.fail(syncOfLog, syscall.EIO)
	_ = put(l, "dev1", "x") // fails, as F3 says
	var fatal *FatalError
	if err := <-result; !errors.As(err, &fatal) {
		t.Errorf("got %v", err)
	}
}

// F4: a table that cannot be read costs its events and not the log.
func TestF4_AReadError(t *testing.T) {
	disk := newFaults(vfs.NewMem())
	l := open(t, Options{FS: disk, Partitions: 1})
	fill(t, l, "dev1", 100)
	if err := l.Close(); err != nil { // which flushes them into a table
		t.Fatal(err)
	}
	l = open(t, Options{FS: disk})
	disk.fail(func(op errorfs.Op) bool { return isTable(op.Path) && op.Kind == errorfs.OpFileReadAt }, syscall.EIO)
	var damaged *DamagedError
	r, err := l.Reader(0, storage.Earliest())
	if err == nil {
		_, err = r.Read(t.Context(), 1000)
	}
	if err != nil && !errors.As(err, &damaged) {
		t.Errorf("a read error is %v", err)
	}
	mustPut(t, l, "dev1", "more")
	disk.set(nil)
	if got := len(all(t, l, 0, storage.Earliest())); got != 101 {
		t.Errorf("%d events are there after the disk is well again", got)
	}
}

// F6: while an fsync takes its time, readers are served.
func TestF6_ASlowSyncHoldsUpNoReader(t *testing.T) {
	disk := newFaults(vfs.NewMem())
	l := open(t, Options{FS: disk, Partitions: 1})
	texts := fill(t, l, "dev1", 5)
	release := disk.stall(syncOfLog)
	result := make(chan error, 1)
	l.Append(iot.DeviceIdentity("dev1"), []iot.Message{message("slow")}, func(err error) { result <- err })
	wantTexts(t, all(t, l, 0, storage.Earliest()), texts) // and "slow" is not there: it is not durable
	release()
	if err := <-result; err != nil {
		t.Fatal(err)
	}
}

// S14: what is on a real disk is for the owner's eyes only.
func TestS14_FilesAreTheOwnersOnly(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such bits")
	}
	dir := filepath.Join(t.TempDir(), "log")
	l, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, l, "dev1", "x")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if mode := info.Mode().Perm(); mode&0o077 != 0 && !strings.HasSuffix(path, "LOCK") {
			t.Errorf("%s has mode %v", path, mode)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What was written is not written again: a log of all a site sends would cost several
// times the disk and the processor that the sending does.
func TestEventsAreNotMergedWithEachOther(t *testing.T) {
	l, err := Open("/log", Options{FS: vfs.NewMem(), MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		for d := range 16 {
			mustPut(t, l, fmt.Sprint("device", d), fmt.Sprint("event ", i))
		}
		if err := l.db.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	merged := l.db.Metrics().Compact.DefaultCount
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if merged != 0 {
		t.Errorf("%d compactions", merged)
	}
}
