package spool

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// retryEvery is how often a write is tried again on a full disk. A table file's
// write gives up after tablePatience, so that Pebble drops the unfinished file
// and its space; it tries again later.
const (
	retryEvery    = 100 * time.Millisecond
	tablePatience = time.Second
)

// A diskFS is the file system under Pebble. It keeps a full disk from Pebble,
// which would end the process: the write waits until there is space. It takes
// any other failure of a write or a sync as final, before Pebble can try again.
// New files are for the owner's eyes only.
type diskFS struct {
	vfs.FS
	real bool // files are the operating system's

	full   func()            // called when a write found no space
	fail   func(*FatalError) // called when a write or sync failed
	ending <-chan struct{}   // closed when waiting for space is to stop
}

func (fs *diskFS) Unwrap() vfs.FS { return fs.FS }

// noSpace reports whether err passes when someone makes room.
func noSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EROFS)
}

func passing(err error) bool {
	return errors.Is(err, syscall.EINTR) || errors.Is(err, syscall.EAGAIN)
}

// attempt runs f until it does not fail for want of space, or patience with this
// file ends.
func (fs *diskFS) attempt(name string, f func() error) error {
	var waited time.Duration
	for {
		err := f()
		if err == nil || !noSpace(err) {
			return err
		}
		fs.full()
		if isTable(name) && waited >= tablePatience {
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

func isTable(name string) bool {
	ext := filepath.Ext(name)
	return ext == ".sst" || ext == ".blob"
}

func isLog(name string) bool { return filepath.Ext(name) == ".log" }

// open wraps a file that make opens for writing.
func (fs *diskFS) open(name string, make func() (vfs.File, error)) (vfs.File, error) {
	var f vfs.File
	err := fs.attempt(name, func() (err error) {
		f, err = make()
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
// the end: on a file system that does not keep the order of such operations, a
// power cut could leave a marker without its manifest, or no marker at all, and
// the store could not be opened.
func (fs *diskFS) settleBefore(name string) error {
	if !strings.HasPrefix(fs.PathBase(name), "marker.") {
		return nil
	}
	d, err := fs.OpenDir(fs.PathDir(name))
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }() // read-only
	return d.Sync()
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

func (f *diskFile) Sync() error {
	return f.sync(f.File.Sync)
}

func (f *diskFile) SyncData() error {
	return f.sync(f.File.SyncData)
}

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
	grow := f.File.Preallocate
	if f.fs.real && isLog(f.name) {
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
func (f *diskFile) lengthen(offset, length int64) error {
	err := fallocate(f.Fd(), offset, length)
	if errors.Is(err, errors.ErrUnsupported) {
		return f.File.Preallocate(offset, length)
	}
	return err
}

// judge makes a failure final. After a failed fsync the kernel may have dropped
// the data and call the next one good, so there is no trying again.
func (f *diskFile) judge(op string, err error) error {
	if err != nil && !(op == "write" && noSpace(err)) {
		f.fs.fail(&FatalError{Op: op, File: f.name, Err: err})
	}
	return err
}
