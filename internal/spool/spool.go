package spool

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/disk"
	"sluice/internal/spool/journal"
)

// Options are the knobs of a store. The zero value is a good store for an edge
// box: some 40 MiB of memory at work, no size limit but the disk's.
type Options struct {
	Logger *slog.Logger     // nil: discard
	FS     vfs.FS           // nil: the operating system's
	Now    func() time.Time // wall clock, for expiry and timestamps; nil: time.Now

	// Fatal is called once, from a goroutine of its own, when the disk failed in
	// a way that nothing can be trusted after, with a *FatalError. It should make
	// the process exit non-zero. It must not call [Store.Close].
	Fatal func(error)

	// MaxBytes limits entries' data plus Overhead each; data that entries share
	// counts once, and with an Overhead of its own. 0: no limit.
	MaxBytes     int64
	MaxLaneBytes int64 // data plus Overhead each, for each lane of each queue; 0: no limit

	MaxPendingBytes int64 // given to Append and not yet called back; 0: 64 MiB
	JournalBytes    int64 // of the journal, before the database takes what is left of it; 0: 16 MiB
	WindowBytes     int64 // recent records kept in memory, per queue; 0: 2 MiB

	MaxDead      int   // dead letters kept; 0: 10,000
	MaxDeadBytes int64 // their data plus Overhead each; 0: 64 MiB

	MinFree      int64 // disk space below which appends are refused; 0: 64 MiB; negative: do not look
	BallastBytes int64 // kept aside to go on draining on a full disk; 0: 16 MiB; negative: none

	AckDelay   time.Duration // before an acknowledgement is made durable, at most; 0: 2 ms
	SweepEvery time.Duration // between looks for expired records in lanes nobody reads; 0: 30 s
}

// A Store is a directory of queues. Open makes one.
type Store struct {
	dir string
	opt Options
	log *slog.Logger
	fs  *disk.FS
	db  *pebble.DB

	unlock  func() error
	journal *journal.Journal

	checkpoints chan *checkpoint // the writer's, for the checkpointer

	inbox   inbox
	commit  committer
	dead    graveyard
	space   space
	orphans orphans
	syncs   atomic.Uint64 // commits fsynced

	queuesMu sync.RWMutex
	queues   map[string]*Queue

	// reading is held shared by whatever reads the database, so that Close
	// waits for it.
	reading sync.RWMutex
	closed  bool // guarded by reading

	failed   chan struct{} // closed by the first fatal error
	failure  atomic.Pointer[FatalError]
	lifetime context.Context // ends with Close
	end      context.CancelFunc
	group    sync.WaitGroup
}

// Append takes over a batch of entries, for any queues: all are stored or none,
// in one atomic write. done is called exactly once: with nil when all of it is
// fsynced; with [ErrFull], [ErrLaneFull], [ErrNoSpace] or [ErrInvalid] when
// nothing of it is stored or will be; with [ErrClosed] when the store was closed
// first and nothing is stored; with a [*FatalError] when the disk failed and the
// outcome is unknown.
//
// Append waits for room when [Options.MaxPendingBytes] are pending, and never for space
// on the disk. When nothing is pending it does the writer's work itself: it writes and
// fsyncs what it was given, with what others give meanwhile, and calls their dones.
// Entries given by one goroutine's calls are stored, and their dones called, in the order
// of the calls.
//
// done may be called before Append returns or later, from any goroutine, and keeps the
// others waiting: it must not block, nor call Append, and whoever calls Append must not
// hold what done locks.
func (s *Store) Append(entries []Entry, done func(error)) {
	for i := range entries {
		if err := entries[i].validate(); err != nil {
			s.submit(&op{err: err, done: done})
			return
		}
	}
	o := &op{entries: entries, done: done, bytes: sizeOf(entries)}
	switch {
	case !s.inbox.append(o): // done was called
	case len(entries) > 0:
		s.lead(&entries[0])
	default:
		raise(s.inbox.now)
	}
}

// SetLimits changes [Options.MaxBytes] and [Options.MaxLaneBytes] from the next
// append on. What is stored above a new limit stays.
func (s *Store) SetLimits(maxBytes, maxLaneBytes int64) {
	s.commit.limits.max.Store(maxBytes)
	s.commit.limits.maxLane.Store(maxLaneBytes)
}

// Queue returns the queue of that name, which exists as soon as it is named.
// The same name gives the same Queue.
func (s *Store) Queue(name string) *Queue {
	s.queuesMu.RLock()
	q := s.queues[name]
	s.queuesMu.RUnlock()
	if q != nil {
		return q
	}
	s.queuesMu.Lock()
	defer s.queuesMu.Unlock()
	if q = s.queues[name]; q == nil {
		q = newQueue(s, name)
		s.queues[name] = q
	}
	return q
}

// Err returns the *FatalError that ended the store, or nil.
func (s *Store) Err() error {
	if f := s.failure.Load(); f != nil {
		return f
	}
	return nil
}

// fail ends the store: nothing is acknowledged any more.
func (s *Store) fail(f *FatalError) {
	if !s.failure.CompareAndSwap(nil, f) {
		return
	}
	s.log.Error("spool: the disk failed; the process should exit", "dir", s.dir, "error", f)
	close(s.failed)
}
