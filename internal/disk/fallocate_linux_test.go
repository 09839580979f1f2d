package disk

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// The log is as long as it will become from its second write on, and a database that
// ended without closing it is opened with all that was written.
func TestD5_ALogThatIsLongerThanWhatIsInIt(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	if err := allocates(filepath.Dir(dir)); err != nil {
		t.Skipf("this file system does not allocate: %v", err)
	}
	db := open(t, dir, Config{})
	for _, key := range []string{"one", "two", "three"} {
		set(t, db, key)
	}
	logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(logs) != 1 {
		t.Fatalf("logs %v, %v", logs, err)
	}
	switch info, err := os.Stat(logs[0]); {
	case err != nil:
		t.Fatal(err)
	case info.Size() < 512<<10:
		t.Errorf("the log is %d bytes long", info.Size())
	}
	killed := filepath.Join(t.TempDir(), "killed")
	if err := os.CopyFS(killed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	has(t, open(t, killed, Config{}), "one", "two", "three")
}

func allocates(dir string) error {
	f, err := os.Create(filepath.Join(dir, "try"))
	if err != nil {
		return err
	}
	return errors.Join(fallocate(f.Fd(), 0, 4096), f.Close(), os.Remove(f.Name()))
}
