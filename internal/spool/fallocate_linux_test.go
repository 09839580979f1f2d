package spool

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// The log is as long as it will become from its second write on, and a store that
// ended without closing it is opened with all that was written.
func TestD5_ALogThatIsLongerThanWhatIsInIt(t *testing.T) {
	dir := t.TempDir()
	if err := allocates(dir); err != nil {
		t.Skipf("this file system does not allocate: %v", err)
	}
	s := open(t, dir, Options{})
	for _, data := range []string{"one", "two", "three"} {
		put(t, s, entry("q", "a", 0, data))
	}
	logs, err := filepath.Glob(filepath.Join(dir, "*", "*.log"))
	if err != nil || len(logs) != 1 {
		t.Fatalf("logs %v, %v", logs, err)
	}
	switch info, err := os.Stat(logs[0]); {
	case err != nil:
		t.Fatal(err)
	case info.Size() < memTableSize:
		t.Errorf("the log is %d bytes long", info.Size())
	}
	killed := filepath.Join(t.TempDir(), "killed")
	if err := os.CopyFS(killed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if got := texts(read(t, acquire(t, open(t, killed, Options{}).Queue("q")), 9)); got != "one two three" {
		t.Errorf("the next store has %q", got)
	}
}

func allocates(dir string) error {
	f, err := os.Create(filepath.Join(dir, "try"))
	if err != nil {
		return err
	}
	return errors.Join(fallocate(f.Fd(), 0, 4096), f.Close(), os.Remove(f.Name()))
}
