package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// patience bounds every wait of the tests.
const patience = 30 * time.Second

func open(t *testing.T, dir string, cfg Config) *DB {
	t.Helper()
	cfg.Name = "test"
	db, err := OpenDB(dir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil && db.failure.Load() == nil {
			t.Error(err)
		}
	})
	return db
}

func set(t *testing.T, db *DB, key string) {
	t.Helper()
	if err := db.Set([]byte(key), nil, pebble.Sync); err != nil {
		t.Fatal(err)
	}
}

func has(t *testing.T, db *DB, keys ...string) {
	t.Helper()
	for _, key := range keys {
		_, closer, err := db.Get([]byte(key))
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		if err := closer.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// faulty is a file system of which operations fail, as a test says.
func faulty(below vfs.FS, rule *atomic.Pointer[func(errorfs.Op) error]) vfs.FS {
	return errorfs.Wrap(below, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if f := rule.Load(); f != nil {
			return (*f)(op)
		}
		return nil
	}))
}

// said is what a log was told, with a signal at each line.
type said struct {
	mu    sync.Mutex
	text  bytes.Buffer
	lines chan struct{}
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case s.lines <- struct{}{}:
	default:
	}
	return s.text.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// A full disk ends nothing: the write waits, says so once, and goes on.
func TestF1_AWriteWaitsForSpace(t *testing.T) {
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS} {
		var rule atomic.Pointer[func(errorfs.Op) error]
		log := &said{lines: make(chan struct{}, 1)}
		db := open(t, "/db", Config{
			FS: faulty(vfs.NewMem(), &rule), Log: slog.New(slog.NewTextHandler(log, nil)),
			Fatal: func(err error) { t.Errorf("%v is fatal: %v", full, err) },
		})
		set(t, db, "before")
		tried := make(chan struct{}, 100)
		no := func(op errorfs.Op) error {
			if op.Kind != errorfs.OpFileWrite {
				return nil
			}
			tried <- struct{}{}
			return &fs.PathError{Op: "write", Path: op.Path, Err: full}
		}
		rule.Store(&no)
		done := make(chan error, 1)
		go func() { done <- db.Set([]byte("waits"), nil, pebble.Sync) }()
		for range 3 {
			select {
			case <-tried:
			case err := <-done:
				t.Fatalf("%v: the write ended with %v", full, err)
			case <-time.After(patience):
				t.Fatalf("%v: no further try", full)
			}
		}
		rule.Store(nil)
		if err := <-done; err != nil {
			t.Errorf("%v: when there is space: %v", full, err)
		}
		has(t, db, "before", "waits")
		if n := strings.Count(log.String(), "no space left"); n != 1 {
			t.Errorf("%v: the log says it %d times:\n%s", full, n, log)
		}
	}
}

// A database is not opened on a full disk, new or old, and nobody waits for ever: also
// not where all that is missing is space for the table that the old log goes into.
func TestF1_OpeningOnAFullDiskGivesUp(t *testing.T) {
	old := vfs.NewCrashableMem()
	set(t, open(t, "/db", Config{FS: old}), "before")
	for name, tt := range map[string]struct {
		below *vfs.MemFS
		full  func(name string) bool
	}{
		"new":              {vfs.NewMem(), func(string) bool { return true }},
		"old":              {old.CrashClone(vfs.CrashCloneCfg{}), func(string) bool { return true }},
		"old, for a table": {old.CrashClone(vfs.CrashCloneCfg{}), isTable},
	} {
		t.Run(name, func(t *testing.T) {
			var rule atomic.Pointer[func(errorfs.Op) error]
			no := func(op errorfs.Op) error {
				if (op.Kind == errorfs.OpFileWrite || op.Kind == errorfs.OpCreate) && tt.full(op.Path) {
					return syscall.ENOSPC
				}
				return nil
			}
			rule.Store(&no)
			_, err := OpenDB("/db", Config{Name: "test", FS: faulty(tt.below, &rule), Fatal: func(err error) { t.Errorf("told %v", err) }})
			if !errors.Is(err, ErrNoSpace) || !strings.Contains(err.Error(), "/db") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Opening is given up or done, whatever happens at once: a database that is open was not
// given up, and what it cannot survive is told.
func TestF1_WhatIsGivenUpIsNotOpen(t *testing.T) {
	long := time.Now().Add(-time.Hour)
	done := New(vfs.NewMem(), Options{})
	done.want = long
	if !done.ready() || done.starve() || done.isStarved() {
		t.Error("an open database was given up")
	}
	givenUp := New(vfs.NewMem(), Options{})
	givenUp.want = long
	if !givenUp.starve() || givenUp.ready() || !givenUp.starve() {
		t.Error("what was given up is open")
	}
}

// After a failed fsync nothing is good any more: the owner is told once, and Close
// does not wait for what is stuck behind it.
func TestF3_AFailedSyncIsFinal(t *testing.T) {
	var rule atomic.Pointer[func(errorfs.Op) error]
	told := make(chan error, 10)
	db := open(t, "/db", Config{FS: faulty(vfs.NewMem(), &rule), Fatal: func(err error) { told <- err }})
	set(t, db, "before")
	var once atomic.Bool
	no := func(op errorfs.Op) error {
		if isLog(op.Path) && op.Kind == errorfs.OpFileSyncData && once.CompareAndSwap(false, true) {
			return syscall.EIO // once: the next would say that all is well
		}
		return nil
	}
	rule.Store(&no)
	go func() { _ = db.Set([]byte("lost"), nil, pebble.Sync) }() // it may never return: the process is to end
	select {
	case err := <-told:
		var fatal *FatalError
		if !errors.As(err, &fatal) || !isLog(fatal.File) || fatal.Op != "sync" || !errors.Is(err, syscall.EIO) {
			t.Errorf("the owner is told %v", err)
		}
	case <-time.After(patience):
		t.Fatal("the owner is not told")
	}
	if len(told) > 0 {
		t.Errorf("the owner is told again: %v", <-told)
	}
}

// The database does not expect its word of a failure to return.
func TestF3_WhatTheDatabaseCannotSurviveEndsItsGoroutine(t *testing.T) {
	var got *FatalError
	l := logger{log: slog.New(slog.DiscardHandler), fail: func(e *FatalError) { got = e }}
	var wg sync.WaitGroup
	wg.Go(func() {
		l.Fatalf("sync: %w", syscall.EIO)
		t.Error("it returned")
	})
	wg.Wait()
	if got == nil || !errors.Is(got, syscall.EIO) {
		t.Errorf("told %v", got)
	}
}

// A disk that fails while a database is made, at whatever operation, is an error, and
// not the end of the process.
func TestF3_ADatabaseThatCannotBeMade(t *testing.T) {
	for n, made := 0, false; !made; n++ {
		var rule atomic.Pointer[func(errorfs.Op) error]
		var mu sync.Mutex
		left := n
		no := func(op errorfs.Op) error {
			mu.Lock()
			defer mu.Unlock()
			if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
				left--
			}
			if left == -1 {
				return syscall.EIO
			}
			return nil
		}
		rule.Store(&no)
		db, err := OpenDB("/db", Config{Name: "test", FS: faulty(vfs.NewMem(), &rule)})
		mu.Lock()
		failed := left < 0
		mu.Unlock()
		if made = err == nil; made && !failed && db.Close() != nil {
			t.Error("a database that was made cannot be closed")
		}
		if made && n == 0 {
			t.Error("no operation failed")
		}
	}
}

// Directories and files are for the owner's eyes only, also those that were there.
func TestS14_FilesAreTheOwnersOnly(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such bits")
	}
	dir := filepath.Join(t.TempDir(), "db")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	set(t, open(t, dir, Config{}), "key")
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A disk that is not mounted must not look like an empty one.
func TestADirectoryWithoutItsParentIsNotMade(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not-there", "db")
	if _, err := OpenDB(dir, Config{Name: "test"}); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "open test") {
		t.Errorf("got %v", err)
	}
}

func TestEachVisitsWhatBeginsWithThePrefix(t *testing.T) {
	db := open(t, "/db", Config{FS: vfs.NewMem()})
	for _, key := range []string{"a", "b", "b1", "b2", "c"} {
		set(t, db, key)
	}
	var got []string
	err := Each(db, []byte("b"), func(key, _ []byte) error {
		if got = append(got, string(key)); string(key) == "b1" {
			return errors.New("no more")
		}
		return nil
	})
	if fmt.Sprint(got) != "[b b1]" || err == nil || !strings.Contains(err.Error(), `"b1": no more`) {
		t.Errorf("visited %q, error %v", got, err)
	}
	got = nil
	err = Each(db, []byte("b"), func(key, _ []byte) error { got = append(got, string(key)); return nil })
	if fmt.Sprint(got) != "[b b1 b2]" || err != nil {
		t.Errorf("visited %q, error %v", got, err)
	}
}
