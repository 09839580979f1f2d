package edge

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"sluice/internal/atomicfile"
)

// makeDataDir makes the data directory, or checks that nobody else may change
// what is in it. Its parent must exist: a disk that is not mounted must not look
// like an empty gateway.
func makeDataDir(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return makePrivate(dir)
	case err != nil:
		return fmt.Errorf("data directory: %w", err)
	case !info.IsDir():
		return fmt.Errorf("data directory %s is not a directory", dir)
	case runtime.GOOS != "windows" && info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("data directory %s may be changed by others (mode %04o); set it to 0700, or name another with data_dir under [sluice]", dir, info.Mode().Perm())
	}
	return nil
}

// makePrivate makes a directory for its owner only. That it exists survives a
// power cut.
func makePrivate(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil {
		err = atomicfile.SyncDir(filepath.Dir(dir))
	}
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	return nil
}
