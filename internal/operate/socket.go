package operate

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
)

// Path is where the socket of a gateway is, by its data directory.
func Path(dataDir string) string { return filepath.Join(dataDir, "operate.sock") }

// maxPath is how long the name of a socket may be, everywhere.
const maxPath = 103

// Listen makes the socket of the gateway that has the data directory, which is the
// caller's alone: a socket that another process left there is removed. Closing the
// listener removes it too. On Windows the error is [errors.ErrUnsupported].
func Listen(dataDir string) (net.Listener, error) {
	if runtime.GOOS == "windows" {
		return nil, fmt.Errorf("operate: sockets have no permissions on Windows: %w", errors.ErrUnsupported)
	}
	path := Path(dataDir)
	if len(path) > maxPath {
		return nil, fmt.Errorf("operate: the name of the socket %s is longer than the %d bytes that the system allows; choose a shorter data_dir", path, maxPath)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("operate: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("operate: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("operate: %w", err), l.Close())
	}
	return l, nil
}
