package journal

import (
	"errors"
	"os"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A spyFS calls before ahead of every operation that changes or syncs something, and
// fails the operation with what it returns. Files whose length is asked for get it, if
// long says so.
type spyFS struct {
	vfs.FS
	long   bool
	before atomic.Pointer[func(op, name string) error]
}

func (fs *spyFS) set(f func(op, name string) error) {
	if f == nil {
		fs.before.Store(nil)
		return
	}
	fs.before.Store(&f)
}

func (fs *spyFS) ask(op, name string) error {
	if f := fs.before.Load(); f != nil {
		return (*f)(op, name)
	}
	return nil
}

func (fs *spyFS) file(op, name string, make func() (vfs.File, error)) (vfs.File, error) {
	if err := fs.ask(op, name); err != nil {
		return nil, err
	}
	f, err := make()
	if err != nil {
		return nil, err
	}
	return &spyFile{f, fs, name}, nil
}

func (fs *spyFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return fs.file("create", name, func() (vfs.File, error) { return fs.FS.Create(name, c) })
}

func (fs *spyFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return fs.file("open", name, func() (vfs.File, error) { return fs.FS.OpenReadWrite(name, c, opts...) })
}

func (fs *spyFS) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return fs.file("reuse", to, func() (vfs.File, error) { return fs.FS.ReuseForWrite(from, to, c) })
}

func (fs *spyFS) OpenDir(name string) (vfs.File, error) {
	return fs.file("opendir", name, func() (vfs.File, error) { return fs.FS.OpenDir(name) })
}

func (fs *spyFS) Rename(from, to string) error {
	if err := fs.ask("rename", to); err != nil {
		return err
	}
	return fs.FS.Rename(from, to)
}

func (fs *spyFS) Remove(name string) error {
	if err := fs.ask("remove", name); err != nil {
		return err
	}
	return fs.FS.Remove(name)
}

func (fs *spyFS) MkdirAll(dir string, perm os.FileMode) error {
	if err := fs.ask("mkdir", dir); err != nil {
		return err
	}
	return fs.FS.MkdirAll(dir, perm)
}

type spyFile struct {
	vfs.File
	fs   *spyFS
	name string
}

func (f *spyFile) Write(p []byte) (int, error) {
	if err := f.fs.ask("write", f.name); err != nil {
		return 0, err
	}
	return f.File.Write(p)
}

// Preallocate gives a fresh file its length, through another handle, as a write through
// this one would go on behind it.
func (f *spyFile) Preallocate(offset, length int64) error {
	info, err := f.Stat()
	if err != nil || !f.fs.long || info.Size() > 0 {
		return err
	}
	g, err := f.fs.FS.OpenReadWrite(f.name, category)
	if err != nil {
		return err
	}
	_, err = g.Write(make([]byte, offset+length))
	return errors.Join(err, g.Close())
}

func (f *spyFile) Sync() error {
	if err := f.fs.ask("sync", f.name); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *spyFile) SyncData() error {
	if err := f.fs.ask("sync", f.name); err != nil {
		return err
	}
	return f.File.SyncData()
}
