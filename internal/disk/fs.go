package disk

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// retryEvery is how often a write is tried again on a full disk. A table file's
// write gives up after tablePatience, so that Pebble drops the unfinished file
// and its space; it tries again later. Opening gives up after openPatience: nobody
// waits for it who could be told why.
const (
	retryEvery    = 100 * time.Millisecond
	tablePatience = time.Second
	openPatience  = 2 * time.Second
)

// Options are who is told of the disk's troubles.
type Options struct {
	Full   func()            // a write found no space, and waits; nil: nobody is told
	Fail   func(*FatalError) // a write or a sync failed; it may be called again
	Ending <-chan struct{}   // closed when waiting for space is to stop; nil: never
}

// An FS is the file system under a database. See the package for what it is good for.
type FS struct {
	vfs.FS
	opt Options

	starved chan struct{} // closed when there was no space to open a database

	mu     sync.Mutex
	opened bool      // a database is open: writes wait for space, and starved stays open
	want   time.Time // when opening first found no space; zero if it never did
}

// New returns an FS over another. With the operating system's below, it sees to
// permissions, and logs have their length before they are written.
func New(below vfs.FS, opt Options) *FS {
	if opt.Full == nil {
		opt.Full = func() {}
	}
	return &FS{FS: below, opt: opt, starved: make(chan struct{})}
}

// Real reports whether the files are the operating system's.
func (fs *FS) Real() bool { return vfs.Root(fs.FS) == vfs.Default }

// Unwrap returns the file system below.
func (fs *FS) Unwrap() vfs.FS { return fs.FS }

// noSpace reports whether err passes when someone makes room.
func noSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EROFS)
}

func passing(err error) bool {
	return errors.Is(err, syscall.EINTR) || errors.Is(err, syscall.EAGAIN)
}

// attempt runs f until it does not fail for want of space, or patience with this
// file ends.
func (fs *FS) attempt(name string, f func() error) error {
	var waited time.Duration
	for {
		err := f()
		if err == nil || !noSpace(err) {
			return err
		}
		fs.opt.Full()
		if isTable(name) && waited >= tablePatience || fs.starve() {
			return err
		}
		select {
		case <-time.After(retryEvery):
			waited += retryEvery
		case <-fs.opt.Ending:
			return err
		}
	}
}

// ready notes that a database is open, unless opening was given up, and reports whether
// it is.
func (fs *FS) ready() bool {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.opened = !fs.isStarved()
	return fs.opened
}

// starve reports whether a database is being opened that has waited for space long
// enough.
func (fs *FS) starve() bool {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	switch now := time.Now(); {
	case fs.opened:
		return false
	case fs.want.IsZero():
		fs.want = now
		return false
	case now.Sub(fs.want) < openPatience:
		return false
	}
	if !fs.isStarved() {
		close(fs.starved)
	}
	return true
}

func (fs *FS) isStarved() bool {
	select {
	case <-fs.starved:
		return true
	default:
		return false
	}
}

func isTable(name string) bool {
	ext := filepath.Ext(name)
	return ext == ".sst" || ext == ".blob"
}

func isLog(name string) bool { return filepath.Ext(name) == ".log" }

// open wraps a file that make opens for writing.
func (fs *FS) open(name string, make func() (vfs.File, error)) (vfs.File, error) {
	var f vfs.File
	err := fs.attempt(name, func() (err error) {
		f, err = make()
		return err
	})
	if err != nil {
		return nil, err
	}
	if fs.Real() {
		if err := os.Chmod(name, 0o600); err != nil {
			_ = f.Close() // the chmod's error says more
			return nil, err
		}
	}
	return &file{File: f, fs: fs, name: name}, nil
}

// Create makes a file, waiting for space.
func (fs *FS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := fs.settleBefore(name); err != nil {
		return nil, err
	}
	return fs.open(name, func() (vfs.File, error) { return fs.FS.Create(name, c) })
}

// OpenReadWrite opens a file for writing, waiting for space.
func (fs *FS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return fs.open(name, func() (vfs.File, error) { return fs.FS.OpenReadWrite(name, c, opts...) })
}

// ReuseForWrite makes a file of an old one, waiting for space.
func (fs *FS) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return fs.open(to, func() (vfs.File, error) { return fs.FS.ReuseForWrite(from, to, c) })
}

// Lock takes a file that says that the directory is in use.
func (fs *FS) Lock(name string) (io.Closer, error) {
	lock, err := fs.FS.Lock(name)
	if err == nil && fs.Real() {
		if err = os.Chmod(name, 0o600); err != nil {
			_ = lock.Close() // the chmod's error says more
		}
	}
	return lock, err
}

// Remove removes a file.
func (fs *FS) Remove(name string) error {
	if err := fs.settleBefore(name); err != nil {
		return err
	}
	return fs.FS.Remove(name)
}

// settleBefore syncs the directory ahead of the creation or removal of a marker,
// the file by whose name Pebble knows its manifest. Pebble itself syncs once, at
// the end: on a file system that does not keep the order of such operations, a
// power cut could leave a marker without its manifest, or no marker at all, and
// the store could not be opened.
func (fs *FS) settleBefore(name string) error {
	if !strings.HasPrefix(fs.PathBase(name), "marker.") {
		return nil
	}
	return fs.SyncDir(fs.PathDir(name))
}

// SyncDir makes durable which files a directory has.
func (fs *FS) SyncDir(dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }() // read-only
	return d.Sync()
}

// MakeDir makes a directory, durably, for its owner alone; its parent must exist. One
// that exists is closed to others.
func (fs *FS) MakeDir(dir string) error {
	if info, err := fs.Stat(dir); err == nil && info.IsDir() {
		if fs.Real() && info.Mode().Perm()&0o077 != 0 {
			return os.Chmod(dir, 0o700)
		}
		return nil
	}
	parent := fs.PathDir(dir)
	if _, err := fs.Stat(parent); err != nil {
		return err
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return fs.SyncDir(parent)
}

// OpenDir opens a directory, for its sync.
func (fs *FS) OpenDir(name string) (vfs.File, error) {
	f, err := fs.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &file{File: f, fs: fs, name: name}, nil
}

// Rename waits for space, as a directory may need some.
func (fs *FS) Rename(from, to string) error {
	return fs.attempt(to, func() error { return fs.FS.Rename(from, to) })
}

// Link waits for space, as a directory may need some.
func (fs *FS) Link(from, to string) error {
	return fs.attempt(to, func() error { return fs.FS.Link(from, to) })
}

// MkdirAll makes directories for the owner alone, waiting for space; the mode asked for
// does not count.
func (fs *FS) MkdirAll(dir string, _ os.FileMode) error {
	return fs.attempt(dir, func() error { return fs.FS.MkdirAll(dir, 0o700) })
}

// A file is a file or directory open for writing.
type file struct {
	vfs.File
	fs   *FS
	name string
}

// Write writes all of p: short writes and interruptions are gone on with.
func (f *file) Write(p []byte) (written int, err error) {
	err = f.fs.attempt(f.name, func() error {
		n, err := f.write(p[written:])
		written += n
		return err
	})
	return written, f.judge("write", err)
}

func (f *file) write(p []byte) (written int, err error) {
	for written < len(p) {
		n, err := f.File.Write(p[written:])
		written += n
		if err != nil && !passing(err) && !errors.Is(err, io.ErrShortWrite) {
			return written, err
		}
	}
	return written, nil
}

// WriteNow is the Write of a file of an [FS], but for a full disk: waits says that there
// was no space for more than n bytes, and that a Write of the rest would wait for some.
func WriteNow(f vfs.File, p []byte) (n int, waits bool, err error) {
	own, ok := f.(*file)
	if !ok {
		n, err = f.Write(p)
		return n, false, err
	}
	n, err = own.write(p)
	if noSpace(err) {
		own.fs.opt.Full()
		return n, true, nil
	}
	return n, false, own.judge("write", err)
}

func (f *file) Sync() error {
	return f.sync(f.File.Sync)
}

func (f *file) SyncData() error {
	return f.sync(f.File.SyncData)
}

func (f *file) SyncTo(length int64) (full bool, err error) {
	err = f.sync(func() (err error) {
		full, err = f.File.SyncTo(length)
		return err
	})
	return full, err
}

func (f *file) sync(do func() error) error {
	err := do()
	for passing(err) {
		err = do()
	}
	return f.judge("sync", err)
}

// Preallocate is a favour: a disk without room for it may still have room for
// what is written.
func (f *file) Preallocate(offset, length int64) error {
	grow := f.File.Preallocate
	if f.fs.Real() && isLog(f.name) {
		grow = f.lengthen
	}
	if err := grow(offset, length); !noSpace(err) {
		return err
	}
	return nil
}

// lengthen allocates space with the file's length going up to its end, where
// Pebble leaves the length alone. A write into a file that is long enough already
// changes nothing but its data, so that its sync need not wait for the metadata to
// reach the disk too: it takes two thirds of the time. The log's reader takes the
// zeros after what was written for its end, as after a log that is used again.
func (f *file) lengthen(offset, length int64) error {
	err := fallocate(f.Fd(), offset, length)
	if errors.Is(err, errors.ErrUnsupported) {
		return f.File.Preallocate(offset, length)
	}
	return err
}

// judge makes a failure final. After a failed fsync the kernel may have dropped
// the data and call the next one good, so there is no trying again.
func (f *file) judge(op string, err error) error {
	if err != nil && !(op == "write" && noSpace(err)) {
		f.fs.opt.Fail(&FatalError{Op: op, File: f.name, Err: err})
	}
	return err
}
