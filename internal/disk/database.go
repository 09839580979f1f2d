package disk

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// ErrNoSpace means that the disk is full, and a database cannot be opened on it.
var ErrNoSpace = errors.New("no space left on disk: opening needs some, make room")

// Database opens a database in dir, with the options given, but for those that this
// package is about. Fail is told of what the database cannot survive, too. It returns
// [ErrNoSpace] when there was no space for two seconds; the process should exit then,
// as the opening goes on.
//
// Pebble ends the goroutine of what it cannot survive, see logger, or panics; so it is
// opened on one that may end.
func (fs *FS) Database(dir, name string, log *slog.Logger, opt *pebble.Options) (*pebble.DB, error) {
	var failure atomic.Pointer[FatalError]
	opt.FS = fs
	opt.FormatMajorVersion = pebble.FormatValueSeparation
	opt.Logger = logger{name: name, log: log, fail: func(e *FatalError) {
		if fs.isStarved() {
			return // it is known, and nobody's any more
		}
		failure.CompareAndSwap(nil, e)
		fs.opt.Fail(e)
	}}
	var db *pebble.DB
	var err error
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		err = Caught(func() (err error) {
			db, err = pebble.Open(dir, opt)
			return err
		})
	}()
	select {
	case <-returned:
	case <-fs.starved:
		return nil, ErrNoSpace
	}
	if e := failure.Load(); e != nil {
		return nil, e
	}
	if err == nil && !fs.ready() {
		return nil, ErrNoSpace // a write was given up meanwhile
	}
	return db, err
}

// Caught makes an error of a panic: Pebble panics where a file cannot be made or
// renamed, which a full disk is enough for.
func Caught(f func() error) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case error:
			err = r
		default:
			err = fmt.Errorf("%v", r)
		}
	}()
	return f()
}

// A logger passes the database's messages on. Pebble expects Fatalf not to return: it
// ends the goroutine.
type logger struct {
	name string
	log  *slog.Logger
	fail func(*FatalError)
}

func (logger) Infof(string, ...any) {}

func (l logger) Errorf(format string, args ...any) {
	l.log.Warn(l.name+": storage", "message", fmt.Sprintf(format, args...))
}

func (l logger) Fatalf(format string, args ...any) {
	l.fail(&FatalError{Op: "storage", Err: fmt.Errorf(format, args...)})
	runtime.Goexit()
}

// A Config says what a small database is.
type Config struct {
	Name  string       // in messages: "MQTT sessions"
	Log   *slog.Logger // nil: discard
	FS    vfs.FS       // nil: the operating system's
	Fatal func(error)  // is told once, from a goroutine of its own, with a *FatalError

	CacheBytes    int64  // 0: 1 MiB
	MemTableBytes uint64 // 0: 512 KiB
	MaxOpenFiles  int    // 0: 64
}

func (c *Config) fill() {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.FS == nil {
		c.FS = vfs.Default
	}
	if c.CacheBytes == 0 {
		c.CacheBytes = 1 << 20
	}
	if c.MemTableBytes == 0 {
		c.MemTableBytes = 512 << 10
	}
	if c.MaxOpenFiles == 0 {
		c.MaxOpenFiles = 64
	}
}

// A DB is a small database that only needs to be there: what is written to it while
// the disk is full waits for space.
type DB struct {
	*pebble.DB
	cfg     Config
	ending  chan struct{}
	failure atomic.Pointer[FatalError]

	mu     sync.Mutex
	warned time.Time
}

// OpenDB opens the database in dir, and makes it if there is none; dir's parent must
// exist.
func OpenDB(dir string, cfg Config) (*DB, error) {
	cfg.fill()
	db := &DB{cfg: cfg, ending: make(chan struct{})}
	fs := New(cfg.FS, Options{Full: db.full, Fail: db.fail, Ending: db.ending})
	if err := fs.MakeDir(dir); err != nil {
		return nil, fmt.Errorf("open %s: %w", cfg.Name, err)
	}
	cache := pebble.NewCache(cfg.CacheBytes)
	defer cache.Unref()
	var err error
	db.DB, err = fs.Database(dir, cfg.Name, cfg.Log, &pebble.Options{
		Cache: cache, MemTableSize: cfg.MemTableBytes, MaxOpenFiles: cfg.MaxOpenFiles,
	})
	if err != nil {
		close(db.ending)
		return nil, fmt.Errorf("open %s in %s: %w", cfg.Name, dir, err)
	}
	return db, nil
}

// warnEvery is how often a full disk is spoken of.
const warnEvery = time.Minute

// full tells the log why nothing goes on.
func (db *DB) full() {
	db.mu.Lock()
	defer db.mu.Unlock()
	if now := time.Now(); db.warned.IsZero() || now.Sub(db.warned) >= warnEvery {
		db.warned = now
		db.cfg.Log.Warn(db.cfg.Name + ": no space left on disk; what is written waits for some")
	}
}

func (db *DB) fail(e *FatalError) {
	if !db.failure.CompareAndSwap(nil, e) {
		return
	}
	db.cfg.Log.Error(db.cfg.Name+": the disk failed; the process should exit", "error", e)
	if db.cfg.Fatal != nil {
		go db.cfg.Fatal(fmt.Errorf("%s: %w", db.cfg.Name, e)) // the owner's; it ends with the process
	}
}

// Close stores what was written and closes the database. Nobody may be writing. If the
// disk has failed it returns that at once, and leaves the rest to the process's end:
// the database's own goroutines may be stuck behind the failure.
func (db *DB) Close() error {
	close(db.ending)
	if e := db.failure.Load(); e != nil {
		return fmt.Errorf("close %s: %w", db.cfg.Name, e)
	}
	if err := Caught(db.DB.Close); err != nil {
		return fmt.Errorf("close %s: %w", db.cfg.Name, err)
	}
	return nil
}
