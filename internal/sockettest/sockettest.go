// Package sockettest gives tests room for Unix sockets. Only tests import it.
package sockettest

import (
	"os"
	"testing"
)

// room is how long the path of a directory may be: systems allow a socket 103 bytes,
// and what stands below such a directory has names too.
const room = 60

// Dir makes a directory whose path leaves room for the name of a socket, until the test
// ends. Those of [testing.T.TempDir] have the test's name in them, and the system's
// directory for temporary files may have any length.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "s")
	if err == nil && len(dir) > room {
		_ = os.Remove(dir) // empty
		dir, err = os.MkdirTemp("/tmp", "s")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // temporary
	return dir
}
