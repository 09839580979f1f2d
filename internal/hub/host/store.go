package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"sluice/internal/atomicfile"
	"sluice/internal/disk"
	"sluice/internal/hub/commands"
	"sluice/internal/hub/deploy"
	"sluice/internal/hub/documents"
	"sluice/internal/hub/eventlog"
	"sluice/internal/hub/files"
	"sluice/internal/hub/jobs"
	"sluice/internal/hub/registry"
	"sluice/internal/hub/storage"
	"sluice/internal/hub/transfer"
	"sluice/internal/hub/twins"
)

// store is what the hub keeps on disk.
type store struct {
	state    *disk.DB
	registry storage.Identities
	twins    storage.Twins
	commands storage.Commands
	docs     storage.Documents
	deploy   *deploy.Store
	jobs     *jobs.Store
	transfer *transfer.Store
	files    *files.Store // nil without a blob store
	events   *eventlog.Log

	mu    sync.Mutex
	stop  context.CancelCauseFunc // of Run; nil until it runs
	fatal error                   // a failure from before
}

// marker is the file that says that a directory is a hub's.
const marker = "hub-id"

// stateCache is how much of identities and twins stays in memory for queries, which
// read all of them.
const (
	stateCache    = 64 << 20
	stateMemTable = 4 << 20
)

func openStore(cfg *Config) (s *store, err error) {
	if err := claim(cfg.Dir); err != nil {
		return nil, err
	}
	s = &store{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	s.state, err = disk.OpenDB(filepath.Join(cfg.Dir, "state"), disk.Config{
		Name: "hub state", Log: cfg.Log, Fatal: func(err error) { s.failed(err, cfg) },
		CacheBytes: stateCache, MemTableBytes: stateMemTable, MaxOpenFiles: 1000,
	})
	if err != nil {
		return s, fmt.Errorf("hub: %w%s", err, lockAdvice(err))
	}
	if s.registry, err = registry.Open(s.state.DB, registry.Options{Now: cfg.Now}); err != nil {
		return s, err
	}
	s.docs = documents.New(s.state.DB)
	s.twins = twins.New(s.state.DB, cfg.Now)
	s.commands, err = commands.Open(s.state.DB, commands.Options{Generation: s.registry.Generation, Now: cfg.Now, Log: cfg.Log})
	if err != nil {
		return s, err
	}
	if s.deploy, err = deploy.Open(s.docs, cfg.Now); err != nil {
		return s, err
	}
	if s.jobs, err = jobs.Open(s.docs, jobs.Options{Now: cfg.Now, Log: cfg.Log}); err != nil {
		return s, err
	}
	if err = s.openBlobs(cfg); err != nil {
		return s, err
	}
	s.events, err = eventlog.Open(filepath.Join(cfg.Dir, "events"), eventlog.Options{
		Partitions: cfg.Partitions, MaxAge: cfg.Retention, MaxBytes: cfg.MaxBytes,
		Now: cfg.Now, Logger: cfg.Log,
		Fatal: func(err error) { s.failed(err, cfg) },
	})
	return s, err
}

// lockAdvice says what a lock that is held means.
func lockAdvice(err error) string {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, disk.ErrNoSpace) {
		return ""
	}
	return "; does another hub run in this directory?"
}

// claim makes the directory a hub's. One that holds something else is refused,
// so that a mistyped path does no harm.
func claim(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("hub: %w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, marker)); err == nil {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("hub: %w", err)
	}
	if len(entries) > 0 {
		return fmt.Errorf("hub: %s is not empty and not a hub's directory (it has %s): give one that is new, or empty", dir, entries[0].Name())
	}
	if err := atomicfile.Write(filepath.Join(dir, marker), []byte("sluice-hub 1\n"), 0o600); err != nil {
		return fmt.Errorf("hub: %w", err)
	}
	return nil
}

// created is when the directory became a hub's.
func created(dir string) time.Time {
	info, err := os.Stat(filepath.Join(dir, marker))
	if err != nil {
		return time.Unix(0, 0)
	}
	return info.ModTime()
}

// onFatal lets a failing disk end Run.
func (s *store) onFatal(stop context.CancelCauseFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop = stop
	if s.fatal != nil {
		stop(s.fatal)
	}
}

func (s *store) failed(err error, cfg *Config) {
	s.mu.Lock()
	s.fatal = err
	stop := s.stop
	s.mu.Unlock()
	if stop != nil {
		stop(err)
	}
	if cfg.Fatal != nil {
		cfg.Fatal(err)
	}
}

func (s *store) close() error {
	var errs []error
	if s.events != nil {
		errs = append(errs, s.events.Close())
		s.events = nil
	}
	if s.state != nil {
		errs = append(errs, s.state.Close())
		s.state = nil
	}
	return errors.Join(errs...)
}
