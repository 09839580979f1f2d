package translate

import (
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestS14_WhatIsKeptIsForItsOwnerAlone(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("permissions are not modes there")
	}
	log := slog.New(slog.DiscardHandler)
	dir := filepath.Join(t.TempDir(), "itm")
	store, err := OpenStore(dir, log, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	private := func(path string) bool {
		info, err := os.Stat(path)
		return err == nil && info.Mode().Perm()&0o077 == 0
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		// What is below a private directory nobody else can reach.
		if err == nil && d.IsDir() && filepath.Dir(path) == dir && !private(path) || path == dir && !private(path) {
			t.Errorf("%s is open to others", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, open := range []string{dir, filepath.Join(dir, "leaves")} {
		if err := os.Chmod(open, 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenStore(dir, log, func(error) {}); err == nil || !strings.Contains(err.Error(), "0700") {
			t.Errorf("%s open to others: %v", open, err)
		}
		if err := os.Chmod(open, 0o700); err != nil {
			t.Fatal(err)
		}
	}
}
