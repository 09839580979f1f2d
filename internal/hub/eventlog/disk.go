package eventlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/disk"
)

// openPebble opens the database.
func (l *Log) openPebble() (err error) {
	fs := disk.New(l.opt.FS, disk.Options{Full: l.space.spent, Fail: l.fail, Ending: l.lifetime.Done()})
	if err := fs.MakeDir(l.dir); err != nil {
		return fmt.Errorf("open event log %s: %w", l.dir, err)
	}
	opt, done := pebbleOptions()
	defer done()
	l.db, err = fs.Database(l.dir, "event log", l.opt.Logger, opt)
	switch failure := l.Err(); {
	case failure != nil:
		return failure
	case errors.Is(err, pebble.ErrCorruption):
		return l.damaged(err)
	case err != nil:
		return fmt.Errorf("open event log %s: %w", l.dir, err)
	}
	return nil
}

// pebbleOptions tunes Pebble for what is appended in a few places, read in order
// and removed in ranges.
func pebbleOptions() (opt *pebble.Options, done func()) {
	cache := pebble.NewCache(16 << 20)
	opt = &pebble.Options{
		Cache:                       cache,
		MemTableSize:                8 << 20,
		MemTableStopWritesThreshold: 3,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       64,
		LBaseMaxBytes:               64 << 20,
		MaxOpenFiles:                256,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
	}
	opt.Experimental.FileCacheShards = 2
	opt.Experimental.SpanPolicyFunc = spans
	for i := range opt.Levels {
		opt.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.SnappyCompression }
	}
	return opt, cache.Unref
}

// spans has each partition in tables of its own: what is appended comes behind what is
// there, so that no two of them overlap, and Pebble leaves them as they are, or moves
// them as they are. In tables of all partitions it would merge each event again and
// again.
func spans(start []byte) (policy pebble.SpanPolicy, end []byte, err error) {
	if len(start) < 3 || start[0] != keyEvent {
		return policy, nil, nil
	}
	partition := binary.BigEndian.Uint16(start[1:])
	if partition == math.MaxUint16 {
		return policy, []byte{keyEvent + 1}, nil
	}
	return policy, binary.BigEndian.AppendUint16([]byte{keyEvent}, partition+1), nil
}

// checkEvery bounds how often the disk's free space is asked for, and so how late
// the log notices that space has returned.
const checkEvery = 100 * time.Millisecond

// A space watches the disk's free space.
type space struct {
	fs      vfs.FS
	dir     string
	log     *slog.Logger
	minFree int64

	short   atomic.Bool // refusing
	mu      sync.Mutex
	checked time.Time
}

// low reports whether appends are to be refused.
func (s *space) low() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.Sub(s.checked) >= checkEvery {
		s.checked = now
		s.judge()
	}
	return s.short.Load()
}

// judge looks at the disk. mu is held.
func (s *space) judge() {
	short := false
	if s.minFree > 0 {
		usage, err := s.fs.GetDiskUsage(s.dir)
		// If it cannot be known, the write itself will tell.
		short = err == nil && usage.AvailBytes < uint64(s.minFree)
	}
	if short != s.short.Swap(short) {
		s.log.Warn("event log: free space on disk", "dir", s.dir, "refusing", short, "limit", s.minFree)
	}
}

// spent is called when a write found no space.
func (s *space) spent() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checked = time.Now()
	if !s.short.Swap(true) {
		s.log.Warn("event log: no space left on disk, refusing", "dir", s.dir)
	}
}
