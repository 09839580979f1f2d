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
	"sluice/internal/spool"
)

// A Store is a module's directory: DIR/kept has the messages, a spool, and
// DIR/leaves what is known of leaves, a Pebble database.
type Store struct {
	Kept  *spool.Store
	State *pebble.DB
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
	return openStore(dir, nil, spool.Options{Logger: log, Fatal: fatal})
}

// OpenStoreIn is OpenStore in a file system, for tests of what its crashes leave.
func OpenStoreIn(files vfs.FS, dir string, log *slog.Logger, fatal func(error)) (*Store, error) {
	for _, private := range []string{dir, files.PathJoin(dir, "leaves")} {
		if err := makeIn(files, private); err != nil {
			return nil, fmt.Errorf("translate: %w", err)
		}
	}
	return openStore(dir, files, spool.Options{Logger: log, Fatal: fatal, FS: files, MinFree: -1, BallastBytes: -1})
}

// makeIn makes a directory, whose existence survives a crash.
func makeIn(files vfs.FS, dir string) error {
	if err := files.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	parent, err := files.OpenDir(files.PathDir(dir))
	if err != nil {
		return err
	}
	return errors.Join(parent.Sync(), parent.Close())
}

func openStore(dir string, files vfs.FS, opt spool.Options) (*Store, error) {
	state := filepath.Join(dir, "leaves")
	kept, err := spool.Open(filepath.Join(dir, "kept"), opt)
	if err != nil {
		return nil, fmt.Errorf("translate: %w", err)
	}
	cache := pebble.NewCache(2 << 20)
	defer cache.Unref()
	db, err := pebble.Open(state, &pebble.Options{
		FS: files, Cache: cache, MemTableSize: 1 << 20, MaxOpenFiles: 64,
		FormatMajorVersion: pebble.FormatValueSeparation, Logger: pebbleLog{opt.Logger, opt.Fatal},
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("translate: open %s: %w", state, err), kept.Close())
	}
	return &Store{Kept: kept, State: db}, nil
}

// Close closes both.
func (s *Store) Close() error { return errors.Join(s.Kept.Close(), s.State.Close()) }

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

// A pebbleLog passes on what the database says. What it cannot survive ends the
// process.
type pebbleLog struct {
	log   *slog.Logger
	fatal func(error)
}

func (pebbleLog) Infof(string, ...any) {}

func (l pebbleLog) Errorf(format string, args ...any) {
	l.log.Warn("leaves: storage", "message", fmt.Sprintf(format, args...))
}

// Fatalf is expected not to return: it ends the goroutine.
func (l pebbleLog) Fatalf(format string, args ...any) {
	l.fatal(fmt.Errorf("translate: storage: "+format, args...))
	runtime.Goexit()
}
