package pki

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestS14_KeysAreForTheirOwnerAlone(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such modes")
	}
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "certs", "a.pem"), filepath.Join(dir, "private", "a.key")
	if err := newSite().server.WriteFiles(cert, key, false); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]fs.FileMode{key: 0o600, cert: 0o644, filepath.Dir(key): 0o700, filepath.Dir(cert): 0o755} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want %v", path, info.Mode().Perm(), err, want)
		}
	}
	// A key that was open before is not so afterwards.
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := newSite().server.WriteFiles(cert, key, true); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("overwritten: %v, %v", info.Mode(), err)
	}
}

// content is what is in each file of a directory.
func content(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = string(text)
	}
	return all
}

func TestNothingIsOverwrittenUnasked(t *testing.T) {
	s := newSite()
	for _, there := range []string{"a.pem", "a.key"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, there), []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		cert, key := filepath.Join(dir, "a.pem"), filepath.Join(dir, "a.key")
		if err := s.server.WriteFiles(cert, key, false); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s was there: %v", there, err)
		}
		if got := content(t, dir); len(got) != 1 || got[there] != "mine" {
			t.Errorf("%s was there: now %v", there, got)
		}
		if err := s.server.WriteFiles(cert, key, true); err != nil {
			t.Errorf("forced: %v", err)
		}
		if _, err := ReadPair(cert, key); err != nil {
			t.Errorf("forced: %v", err)
		}
	}
}

func TestWhenOneFileCannotBeWrittenTheOthersAreAsTheyWere(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "old.key"), []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	// A name that a file can have, but not with what a temporary file adds to it.
	long := strings.Repeat("x", 250)
	err := WriteFiles(true,
		File{Path: filepath.Join(dir, "old.key"), Data: []byte("new"), Key: true},
		File{Path: filepath.Join(dir, "new.key"), Data: []byte("new"), Key: true},
		File{Path: filepath.Join(dir, long), Data: []byte("new")},
	)
	if err == nil || !strings.Contains(err.Error(), long) {
		t.Fatalf("wrote a name that is too long: %v", err)
	}
	if got := content(t, dir); len(got) != 1 || got["old.key"] != "old" {
		t.Errorf("left behind: %q", got)
	}
}
