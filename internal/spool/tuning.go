package spool

import (
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
)

// Pebble's memory is bounded by memTables write buffers, the cache and some
// readers' blocks.
const (
	memTableSize = 8 << 20
	memTables    = 3
	cacheSize    = 8 << 20
)

// pebbleOptions tunes Pebble for queues: what is written is read once, soon, in
// order, and then deleted. The caller calls done when the database has the
// options.
func pebbleOptions(s *Store) (opt *pebble.Options, done func()) {
	cache := pebble.NewCache(cacheSize)
	opt = &pebble.Options{
		Cache:                       cache,
		EventListener:               &pebble.EventListener{DataCorruption: s.corruption, BackgroundError: s.background},
		MemTableSize:                memTableSize,
		MemTableStopWritesThreshold: memTables,
		L0CompactionThreshold:       16,
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

// spans has shared data in tables of its own: as no two of these overlap, Pebble
// leaves them as they are, or moves them as they are.
func spans(start []byte) (policy pebble.SpanPolicy, end []byte, err error) {
	switch {
	case start[0] < keyShared:
		return policy, []byte{keyShared}, nil
	case start[0] == keyShared:
		return policy, []byte{keyShared + 1}, nil
	}
	return policy, nil, nil
}

// corruption only reports: the reader of the damaged range gets an error, and
// the rest is delivered.
func (s *Store) corruption(info pebble.DataCorruptionInfo) {
	s.log.Error("spool: damaged file", "dir", s.dir, "error", info.Details)
}

func (s *Store) background(err error) {
	s.log.Warn("spool: background work failed, will be tried again", "dir", s.dir, "error", err)
}
