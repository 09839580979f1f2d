package provision

import (
	"errors"
	"os"
	"path/filepath"
)

// ErrLocked says that another process has the directory of a journal.
var ErrLocked = errors.New("another process works with this directory")

// lock takes a directory for this process.
func lock(dir string) (unlock func() error, err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := tryLock(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil
}
