package spool

import (
	"bytes"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
)

// Pebble's memory is bounded by memTables write buffers, the cache and some
// readers' blocks. A checkpoint larger than half a write buffer is a write buffer of its
// own, sorted and not searched.
const (
	memTableSize = 1 << 20
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
		DisableWAL:                  true, // the journal is the log
		MemTableSize:                memTableSize,
		MemTableStopWritesThreshold: memTables,
		L0CompactionThreshold:       16,
		L0StopWritesThreshold:       64,
		LBaseMaxBytes:               64 << 20,
		MaxOpenFiles:                256,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
	}
	opt.Experimental.FileCacheShards = 2
	opt.Experimental.SpanPolicyFunc = s.spans
	for i := range opt.Levels {
		opt.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.SnappyCompression }
	}
	return opt, cache.Unref
}

// spans has some things in tables of their own: shared data, and the records of each
// queue that has a backlog in a single lane, as a module's input is. What is added there
// comes behind what is there, so that no two of these tables overlap, and Pebble leaves
// them as they are, or moves them as they are.
func (s *Store) spans(start []byte) (policy pebble.SpanPolicy, end []byte, err error) {
	switch kind := start[0]; {
	case kind == keyShared:
		return policy, []byte{keyShared + 1}, nil
	case kind > keyShared:
		return policy, nil, nil
	}
	end = []byte{keyShared}
	for _, q := range s.allQueues() {
		if !q.isBacklog() {
			continue
		}
		first := queuePrefix(keyEntry, q.name)
		last := after(first)
		switch {
		case bytes.Compare(start, last) >= 0:
		case bytes.Compare(first, start) <= 0:
			return policy, last, nil
		case bytes.Compare(first, end) < 0:
			end = first
		}
	}
	return policy, end, nil
}

// isBacklog reports whether the queue is a single lane of which memory has a part only.
func (q *Queue) isBacklog() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.lanes) != 1 {
		return false
	}
	for _, ln := range q.lanes {
		for _, st := range ln.strands {
			if st.behind != 0 {
				return true
			}
		}
	}
	return false
}

// corruption only reports: the reader of the damaged range gets an error, and
// the rest is delivered.
func (s *Store) corruption(info pebble.DataCorruptionInfo) {
	s.log.Error("spool: damaged file", "dir", s.dir, "error", info.Details)
}

func (s *Store) background(err error) {
	s.log.Warn("spool: background work failed, will be tried again", "dir", s.dir, "error", err)
}
