package eventlog

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// openPebble opens the database on a goroutine of its own, which Pebble may end
// rather than return, see pebbleLog.
func (l *Log) openPebble() (err error) {
	disk := &diskFS{
		FS: l.opt.FS, real: vfs.Root(l.opt.FS) == vfs.Default,
		full: l.space.spent, fail: l.fail, ending: l.lifetime.Done(),
	}
	if err := disk.home(l.dir); err != nil {
		return fmt.Errorf("open event log %s: %w", l.dir, err)
	}
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		opt, done := l.pebbleOptions(disk)
		defer done()
		l.db, err = pebble.Open(l.dir, opt)
	}()
	<-returned
	switch failure := l.Err(); {
	case failure != nil:
		return failure
	case errors.Is(err, pebble.ErrCorruption):
		return l.damaged(err)
	case err != nil:
		return fmt.Errorf("open event log %s: %w", l.dir, err)
	}
	return nil
}

// pebbleOptions tunes Pebble for what is appended in a few places, read in order
// and removed in ranges.
func (l *Log) pebbleOptions(fs vfs.FS) (opt *pebble.Options, done func()) {
	cache := pebble.NewCache(16 << 20)
	opt = &pebble.Options{
		FS:                          fs,
		Cache:                       cache,
		Logger:                      pebbleLog{l},
		FormatMajorVersion:          pebble.FormatValueSeparation,
		MemTableSize:                8 << 20,
		MemTableStopWritesThreshold: 3,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       64,
		LBaseMaxBytes:               64 << 20,
		MaxOpenFiles:                256,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
	}
	opt.Experimental.FileCacheShards = 2
	for i := range opt.Levels {
		opt.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.SnappyCompression }
	}
	return opt, cache.Unref
}

// pebbleLog passes Pebble's messages on. Pebble expects Fatalf not to return: it
// ends the goroutine, and the log with it.
type pebbleLog struct{ l *Log }

func (p pebbleLog) Infof(string, ...any) {}

func (p pebbleLog) Errorf(format string, args ...any) {
	p.l.opt.Logger.Warn("event log: storage", "dir", p.l.dir, "message", fmt.Sprintf(format, args...))
}

func (p pebbleLog) Fatalf(format string, args ...any) {
	p.l.fail(&FatalError{Op: "storage", Err: fmt.Errorf(format, args...)})
	runtime.Goexit()
}

// checkEvery bounds how often the disk's free space is asked for, and so how late
// the log notices that space has returned.
const checkEvery = 100 * time.Millisecond

// A space watches the disk's free space.
type space struct {
	fs      vfs.FS
	dir     string
	log     *slog.Logger
	minFree int64

	short   atomic.Bool // refusing
	mu      sync.Mutex
	checked time.Time
}

// low reports whether appends are to be refused.
func (s *space) low() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.Sub(s.checked) >= checkEvery {
		s.checked = now
		s.judge()
	}
	return s.short.Load()
}

// judge looks at the disk. mu is held.
func (s *space) judge() {
	short := false
	if s.minFree > 0 {
		usage, err := s.fs.GetDiskUsage(s.dir)
		// If it cannot be known, the write itself will tell.
		short = err == nil && usage.AvailBytes < uint64(s.minFree)
	}
	if short != s.short.Swap(short) {
		s.log.Warn("event log: free space on disk", "dir", s.dir, "refusing", short, "limit", s.minFree)
	}
}

// spent is called when a write found no space.
func (s *space) spent() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checked = time.Now()
	if !s.short.Swap(true) {
		s.log.Warn("event log: no space left on disk, refusing", "dir", s.dir)
	}
}

// retryEvery is how often a write is tried again on a full disk. A table's write
// gives up after tablePatience: Pebble then drops the unfinished file and its
// space, and tries again later.
const (
	retryEvery    = 100 * time.Millisecond
	tablePatience = time.Second
)

// A diskFS is the file system under Pebble. It keeps a full disk from Pebble,
// which would end the process: the write waits until there is space. Any other
// failure of a write or a sync is final, before Pebble can try again. New files
// are for the owner's eyes only.
type diskFS struct {
	vfs.FS
	real bool // files are the operating system's

	full   func()            // called when a write found no space
	fail   func(*FatalError) // called when a write or sync failed
	ending <-chan struct{}   // closed when waiting for space is to stop
}

func (fs *diskFS) Unwrap() vfs.FS { return fs.FS }

// home makes the log's directory durable, before anything is in it.
func (fs *diskFS) home(dir string) error {
	parent := fs.PathDir(dir)
	if _, err := fs.Stat(parent); err != nil {
		return err
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return fs.syncDir(parent)
}

func (fs *diskFS) syncDir(dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }() // read-only
	return d.Sync()
}

func noSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

func passing(err error) bool {
	return errors.Is(err, syscall.EINTR) || errors.Is(err, syscall.EAGAIN)
}

// attempt runs f until it does not fail for want of space, or patience with this
// file ends.
func (fs *diskFS) attempt(name string, f func() error) error {
	ext := filepath.Ext(name)
	table := ext == ".sst" || ext == ".blob"
	var waited time.Duration
	for {
		err := f()
		if err == nil || !noSpace(err) {
			return err
		}
		fs.full()
		if table && waited >= tablePatience {
			return err
		}
		select {
		case <-time.After(retryEvery):
			waited += retryEvery
		case <-fs.ending:
			return err
		}
	}
}

// open wraps a file that create opens for writing.
func (fs *diskFS) open(name string, create func() (vfs.File, error)) (vfs.File, error) {
	var f vfs.File
	err := fs.attempt(name, func() (err error) {
		f, err = create()
		return err
	})
	if err != nil {
		return nil, err
	}
	if fs.real {
		if err := os.Chmod(name, 0o600); err != nil {
			_ = f.Close() // the chmod's error says more
			return nil, err
		}
	}
	return &diskFile{File: f, fs: fs, name: name}, nil
}

func (fs *diskFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := fs.settleBefore(name); err != nil {
		return nil, err
	}
	return fs.open(name, func() (vfs.File, error) { return fs.FS.Create(name, c) })
}

func (fs *diskFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return fs.open(name, func() (vfs.File, error) { return fs.FS.OpenReadWrite(name, c, opts...) })
}

func (fs *diskFS) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return fs.open(to, func() (vfs.File, error) { return fs.FS.ReuseForWrite(from, to, c) })
}

func (fs *diskFS) Remove(name string) error {
	if err := fs.settleBefore(name); err != nil {
		return err
	}
	return fs.FS.Remove(name)
}

// settleBefore syncs the directory ahead of the creation or removal of a marker,
// the file by whose name Pebble knows its manifest. Pebble itself syncs once, at
// the end: where the file system does not keep the order of such operations, a
// power cut could leave a marker without its manifest, or none at all.
func (fs *diskFS) settleBefore(name string) error {
	if !strings.HasPrefix(fs.PathBase(name), "marker.") {
		return nil
	}
	return fs.syncDir(fs.PathDir(name))
}

// OpenDir opens a directory, for its sync.
func (fs *diskFS) OpenDir(name string) (vfs.File, error) {
	f, err := fs.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &diskFile{File: f, fs: fs, name: name}, nil
}

func (fs *diskFS) Rename(from, to string) error {
	return fs.attempt(to, func() error { return fs.FS.Rename(from, to) })
}

func (fs *diskFS) Link(from, to string) error {
	return fs.attempt(to, func() error { return fs.FS.Link(from, to) })
}

func (fs *diskFS) MkdirAll(dir string, _ os.FileMode) error {
	return fs.attempt(dir, func() error { return fs.FS.MkdirAll(dir, 0o700) })
}

// A diskFile is a file or directory open for writing.
type diskFile struct {
	vfs.File
	fs   *diskFS
	name string
}

// Write writes all of p: short writes and interruptions are gone on with.
func (f *diskFile) Write(p []byte) (written int, err error) {
	err = f.fs.attempt(f.name, func() error {
		for written < len(p) {
			n, err := f.File.Write(p[written:])
			written += n
			if err != nil && !passing(err) && !errors.Is(err, io.ErrShortWrite) {
				return err
			}
		}
		return nil
	})
	return written, f.judge("write", err)
}

func (f *diskFile) Sync() error { return f.sync(f.File.Sync) }

func (f *diskFile) SyncData() error { return f.sync(f.File.SyncData) }

func (f *diskFile) SyncTo(length int64) (full bool, err error) {
	err = f.sync(func() (err error) {
		full, err = f.File.SyncTo(length)
		return err
	})
	return full, err
}

func (f *diskFile) sync(do func() error) error {
	err := do()
	for passing(err) {
		err = do()
	}
	return f.judge("sync", err)
}

// Preallocate is a favour: a disk without room for it may still have room for
// what is written.
func (f *diskFile) Preallocate(offset, length int64) error {
	if err := f.File.Preallocate(offset, length); !noSpace(err) {
		return err
	}
	return nil
}

// judge makes a failure final. After a failed fsync the kernel may have dropped
// the data and call the next one good, so there is no trying again.
func (f *diskFile) judge(op string, err error) error {
	if err != nil && !(op == "write" && noSpace(err)) {
		f.fs.fail(&FatalError{Op: op, File: f.name, Err: err})
	}
	return err
}
