// Package dbtest opens databases for tests. Only tests import it.
package dbtest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Open opens the database on a disk, mostly one in memory, and makes it if there is none.
// It is closed when the test ends, after all that the test cleans up later.
func Open(t testing.TB, disk vfs.FS) *pebble.DB {
	t.Helper()
	db, _ := OpenUntil(t, disk)
	return db
}

// OpenUntil is [Open] for a database that may be closed before the test ends, by end.
func OpenUntil(t testing.TB, disk vfs.FS) (db *pebble.DB, end func()) {
	t.Helper()
	db, err := pebble.Open("db", &pebble.Options{FS: disk, Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	end = sync.OnceFunc(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(end)
	return db, end
}

// quiet leaves out what the database tells about its files.
type quiet struct{}

func (quiet) Infof(string, ...any)              {}
func (quiet) Errorf(string, ...any)             {}
func (quiet) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
