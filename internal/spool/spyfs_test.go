package spool

import (
	"os"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A spyFS calls before ahead of every operation that changes or syncs something,
// and fails the operation with what it returns.
type spyFS struct {
	vfs.FS
	before func(op, name string) error
}

func (fs *spyFS) Unwrap() vfs.FS { return fs.FS }

func (fs *spyFS) file(op, name string, make func() (vfs.File, error)) (vfs.File, error) {
	if err := fs.before(op, name); err != nil {
		return nil, err
	}
	f, err := make()
	if err != nil {
		return nil, err
	}
	return &spyFile{f, fs, name}, nil
}

func (fs *spyFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return fs.file("create", name, func() (vfs.File, error) {
		f, err := fs.FS.Create(name, c)
		if err == nil && strings.HasSuffix(name, ".log") && strings.ContainsAny(name, "13579") {
			_, err = f.WriteAt(make([]byte, 64<<10), 0) // as disk.FS leaves it: zeros to the end
		}
		return f, err
	})
}

func (fs *spyFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return fs.file("create", name, func() (vfs.File, error) { return fs.FS.OpenReadWrite(name, c, opts...) })
}

func (fs *spyFS) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return fs.file("reuse", to, func() (vfs.File, error) { return fs.FS.ReuseForWrite(from, to, c) })
}

func (fs *spyFS) OpenDir(name string) (vfs.File, error) {
	f, err := fs.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &spyFile{f, fs, name}, nil
}

func (fs *spyFS) Rename(from, to string) error {
	if err := fs.before("rename", to); err != nil {
		return err
	}
	return fs.FS.Rename(from, to)
}

func (fs *spyFS) Link(from, to string) error {
	if err := fs.before("link", to); err != nil {
		return err
	}
	return fs.FS.Link(from, to)
}

func (fs *spyFS) Remove(name string) error {
	if err := fs.before("remove", name); err != nil {
		return err
	}
	return fs.FS.Remove(name)
}

func (fs *spyFS) MkdirAll(dir string, perm os.FileMode) error {
	if err := fs.before("mkdir", dir); err != nil {
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
	if err := f.fs.before("write", f.name); err != nil {
		return 0, err
	}
	return f.File.Write(p)
}

func (f *spyFile) Sync() error {
	if err := f.fs.before("sync", f.name); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *spyFile) SyncData() error {
	if err := f.fs.before("sync", f.name); err != nil {
		return err
	}
	return f.File.SyncData()
}

func (f *spyFile) SyncTo(n int64) (bool, error) {
	if err := f.fs.before("sync", f.name); err != nil {
		return false, err
	}
	return f.File.SyncTo(n)
}
