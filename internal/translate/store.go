package translate

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/atomicfile"
	"sluice/internal/disk"
	"sluice/internal/spool"
)

// A Store is a module's directory: DIR/kept has the messages, a spool, and
// DIR/leaves what is known of leaves, a Pebble database.
type Store struct {
	Kept  *spool.Store
	State *pebble.DB

	leaves *disk.DB // State's
}

// OpenStore opens the directory of a module, and makes it if it does not exist; its
// parent must. It is for its owner alone. fatal is called, once, when the disk has
// failed: the process should end.
func OpenStore(dir string, log *slog.Logger, fatal func(error)) (*Store, error) {
	for _, private := range []string{dir, filepath.Join(dir, "leaves")} {
		if err := makePrivate(private); err != nil {
			return nil, fmt.Errorf("translate: %w", err)
		}
	}
	return openStore(dir, spool.Options{Logger: log, Fatal: fatal})
}

// OpenStoreIn is OpenStore in a file system, for tests of what its crashes leave.
func OpenStoreIn(files vfs.FS, dir string, log *slog.Logger, fatal func(error)) (*Store, error) {
	if err := disk.New(files, disk.Options{}).MakeDir(dir); err != nil {
		return nil, fmt.Errorf("translate: %w", err)
	}
	return openStore(dir, spool.Options{Logger: log, Fatal: fatal, FS: files, MinFree: -1, BallastBytes: -1})
}

func openStore(dir string, opt spool.Options) (*Store, error) {
	kept, err := spool.Open(filepath.Join(dir, "kept"), opt)
	if err != nil {
		return nil, fmt.Errorf("translate: %w", err)
	}
	leaves, err := disk.OpenDB(filepath.Join(dir, "leaves"), disk.Config{
		Name: "leaves", Log: opt.Logger, FS: opt.FS, Fatal: opt.Fatal, CacheBytes: 2 << 20, MemTableBytes: 1 << 20,
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("translate: %w", err), kept.Close())
	}
	return &Store{Kept: kept, State: leaves.DB, leaves: leaves}, nil
}

// Close closes both.
func (s *Store) Close() error { return errors.Join(s.Kept.Close(), s.leaves.Close()) }

// makePrivate makes a directory for its owner alone, or checks that it is one.
func makePrivate(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		return atomicfile.SyncDir(filepath.Dir(dir))
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is not a directory", dir)
	case runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("directory %s is open to others (mode %04o); set it to 0700", dir, info.Mode().Perm())
	}
	return nil
}
