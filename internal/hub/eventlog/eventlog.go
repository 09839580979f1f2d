package eventlog

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/hub/storage"
	"sluice/iot"
)

// Limits of the number of partitions.
const (
	DefaultPartitions = 4
	MaxPartitions     = 128
)

// Options are the knobs of a log. The zero value is a good log without
// retention.
type Options struct {
	// Partitions is fixed when a log is made; 0: [DefaultPartitions] then, and
	// whatever the log has later.
	Partitions int

	MaxAge   time.Duration // events older than this are removed; 0: kept for ever
	MaxBytes int64         // oldest events beyond this are removed, by partition: each has its share; 0: no limit

	MinFree         int64 // disk space below which appends are refused; 0: 64 MiB; negative: do not look
	MaxPendingBytes int64 // given to Append and not yet called back, at which it waits; 0: 64 MiB

	FS     vfs.FS           // nil: the operating system's
	Now    func() time.Time // wall clock; nil: time.Now
	Logger *slog.Logger     // nil: discard

	// Fatal is called once, from a goroutine of its own, when the disk failed in
	// a way that nothing can be trusted after, with a *FatalError. It should make
	// the process exit. It must not call [Log.Close].
	Fatal func(error)

	sweepEvery time.Duration        // tests: between looks for what retention removes
	elapsed    func() time.Duration // tests: the monotonic clock
}

func (o *Options) fill() {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MinFree == 0 {
		o.MinFree = 64 << 20
	}
	if o.MaxPendingBytes == 0 {
		o.MaxPendingBytes = 64 << 20
	}
	if o.sweepEvery == 0 {
		o.sweepEvery = 30 * time.Second
	}
	if o.elapsed == nil {
		begin := time.Now()
		o.elapsed = func() time.Duration { return time.Since(begin) }
	}
}

// A Log is an open event log. Its methods may be called from any goroutine.
type Log struct {
	dir        string
	opt        Options
	db         *pebble.DB
	partitions []*partition
	inbox      inbox
	space      space
	retention  retention

	lifetime context.Context // ends when the log closes
	end      context.CancelFunc
	group    sync.WaitGroup
	failure  atomic.Pointer[FatalError]
	syncs    atomic.Uint64

	reading sync.RWMutex // held for reading while the database is used
	closed  bool
}

var _ storage.Events = (*Log)(nil)

// Open opens the log in dir, and makes it if there is none; dir's parent must
// exist. Pebble's own lock keeps other processes out. It takes time by the number
// of partitions, not of events. It returns a [*PartitionsError] or a
// [*DamagedError] where that is what is wrong.
func Open(dir string, opt Options) (*Log, error) {
	if opt.Partitions < 0 || opt.Partitions > MaxPartitions {
		return nil, fmt.Errorf("open event log %s: %d partitions: must be 1 to %d", dir, opt.Partitions, MaxPartitions)
	}
	opt.fill()
	l := &Log{dir: filepath.Clean(dir), opt: opt}
	l.lifetime, l.end = context.WithCancel(context.Background())
	l.space = space{fs: opt.FS, dir: l.dir, log: opt.Logger, minFree: opt.MinFree}
	l.inbox.init(opt.MaxPendingBytes)
	if err := l.open(); err != nil {
		l.end()
		return nil, err
	}
	l.retention = newRetention(opt, len(l.partitions))
	commits := make(chan *commit, pipeline)
	l.group.Go(func() { l.write(commits) })
	l.group.Go(func() { l.sync(commits) })
	l.group.Go(l.keep)
	return l, nil
}

func (l *Log) open() (err error) {
	if err := l.openPebble(); err != nil {
		return err
	}
	n, err := l.format()
	if err == nil {
		l.partitions = make([]*partition, n)
		for i := range l.partitions {
			if l.partitions[i], err = l.load(i); err != nil {
				break
			}
		}
	}
	if err != nil {
		_ = l.db.Close() // the first error says more
	}
	return err
}

// format reads the number of partitions, or writes it into a new log.
func (l *Log) format() (partitions int, err error) {
	value, closer, err := l.db.Get([]byte{keyFormat})
	if errors.Is(err, pebble.ErrNotFound) {
		return l.writeFormat()
	}
	if err != nil {
		return 0, l.damaged(err)
	}
	defer func() { _ = closer.Close() }() // only gives the value back
	if len(value) != 3 || value[0] != formatVersion {
		return 0, fmt.Errorf("open event log %s: format %x was written by a newer program", l.dir, value)
	}
	partitions = int(value[1])<<8 | int(value[2])
	if want := l.opt.Partitions; want != 0 && want != partitions {
		return 0, &PartitionsError{Dir: l.dir, Have: partitions, Want: want}
	}
	return partitions, nil
}

func (l *Log) writeFormat() (partitions int, err error) {
	n := l.opt.Partitions
	if n == 0 {
		n = DefaultPartitions
	}
	err = l.db.Set([]byte{keyFormat}, []byte{formatVersion, byte(n >> 8), byte(n)}, pebble.Sync)
	if err != nil {
		return 0, fmt.Errorf("make event log %s: %w", l.dir, err)
	}
	return n, nil
}

// Partitions returns the number of partitions.
func (l *Log) Partitions() int { return len(l.partitions) }

// PartitionOf returns the partition of a device's events: FNV-1a of its id. The
// choice is part of what is stored, and never changes.
func (l *Log) PartitionOf(id iot.Identity) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id.Device)) // never fails
	return int(h.Sum32() % uint32(len(l.partitions)))
}

// Err returns the failure after which the log stopped, or nil.
func (l *Log) Err() error {
	if e := l.failure.Load(); e != nil {
		return e
	}
	return nil
}

// fail stops the log for good.
func (l *Log) fail(e *FatalError) {
	if !l.failure.CompareAndSwap(nil, e) {
		return
	}
	l.opt.Logger.Error("event log: the disk failed, stopping", "dir", l.dir, "error", e)
	l.inbox.close(e)
	l.end()
	if l.opt.Fatal != nil {
		go l.opt.Fatal(e) // the owner's; it ends with the process
	}
}

func (l *Log) damaged(err error) error { return &DamagedError{Dir: l.dir, Err: err} }

// Close stores what is pending, calls back and closes the log. Readers get
// [ErrClosed]. It returns a [*FatalError] if the disk failed before or meanwhile.
func (l *Log) Close() error {
	l.reading.Lock()
	again := l.closed
	l.closed = true
	l.reading.Unlock()
	if again {
		return l.Err()
	}
	l.inbox.close(storage.ErrClosed)
	l.end()
	if l.Err() == nil {
		l.group.Wait()
	}
	if err := l.Err(); err != nil {
		// Pebble's own goroutines may be stuck behind the failure: the process is
		// about to exit.
		return err
	}
	if err := errors.Join(l.db.Flush(), l.db.Close(), l.Err()); err != nil {
		return fmt.Errorf("close event log %s: %w", l.dir, err)
	}
	return nil
}
