package eventlog

import (
	"errors"
	"fmt"
	"math"
	"sluice/internal/hub/storage"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// sweepEvents is how many events one look for old ones visits before it removes
// what it has found.
const sweepEvents = 100_000

// A retention says what is kept.
type retention struct {
	maxAge time.Duration // 0: for ever
	share  uint64        // bytes of each partition
	every  time.Duration
	clock  steadyClock   // the keeper's
	soon   chan struct{} // capacity 1: a partition is over its share
}

func newRetention(opt Options, partitions int) retention {
	r := retention{
		maxAge: opt.MaxAge, share: math.MaxUint64, every: opt.sweepEvery,
		clock: steadyClock{wall: opt.Now, elapsed: opt.elapsed},
		soon:  make(chan struct{}, 1),
	}
	if opt.MaxBytes > 0 {
		r.share = max(1, uint64(opt.MaxBytes)/uint64(partitions))
	}
	return r
}

func (r *retention) hurry() {
	select {
	case r.soon <- struct{}{}:
	default:
	}
}

// keep is the keeper: it removes what retention says until the log closes.
func (l *Log) keep() {
	tick := time.NewTicker(l.retention.every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-l.retention.soon:
		case <-l.lifetime.Done():
			return
		}
		l.sweep()
	}
}

// sweep removes what retention says now. What fails is tried again at the next.
func (l *Log) sweep() {
	oldest := int64(math.MinInt64)
	now := l.retention.clock.now()
	if l.retention.maxAge > 0 {
		oldest = now.Add(-l.retention.maxAge).UnixMicro()
	}
	for _, p := range l.partitions {
		for more := true; more && l.lifetime.Err() == nil; {
			var err error
			if more, err = l.trim(p, oldest, now.UnixMicro()); err != nil {
				l.opt.Logger.Warn("event log: retention", "dir", l.dir, "partition", p.number, "error", err)
				break
			}
		}
	}
}

// trim removes the oldest events of a partition, and reports whether there may be
// more to remove.
func (l *Log) trim(p *partition, oldest, now int64) (more bool, err error) {
	first, tail := p.bounds()
	to := first.sequence
	if size := tail.offset - first.offset; size > l.retention.share {
		excess := first.offset + size - l.retention.share
		if to, err = l.find(p, first, tail, func(h header) bool { return h.offset >= excess }); err != nil {
			return false, err
		}
	}
	if oldest > math.MinInt64 {
		old, visited, err := l.findOld(p, to, tail.sequence, oldest, now)
		if err != nil {
			return false, err
		}
		to, more = max(to, old), visited >= sweepEvents && old > to
	}
	if to == first.sequence {
		return false, nil
	}
	return more, l.remove(p, first, tail, to)
}

// findOld returns the sequence number after the last of the old events at the
// beginning. Events from the future, enqueued while the clock was wrong, are old
// when an event after them is.
func (l *Log) findOld(p *partition, from, to uint64, oldest, now int64) (end uint64, visited int, err error) {
	l.reading.RLock()
	defer l.reading.RUnlock()
	if l.closed {
		return from, 0, storage.ErrClosed
	}
	it, err := l.db.NewIter(&pebble.IterOptions{
		LowerBound: eventKey(p.number, from), UpperBound: eventKey(p.number, to),
	})
	if err != nil {
		return from, 0, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	end = from
	for ok := it.First(); ok && visited < sweepEvents; ok = it.Next() {
		visited++
		value, err := it.ValueAndErr()
		if err != nil {
			return end, visited, err
		}
		h, _, err := parseRecord(it.Key(), value)
		if err != nil {
			return end, visited, fmt.Errorf("key %x: %w", it.Key(), err)
		}
		switch {
		case h.enqueued < oldest:
			if end, err = parseEventKey(it.Key()); err != nil {
				return from, visited, err
			}
			end++
		case h.enqueued <= now:
			return end, visited, nil
		}
	}
	return end, visited, it.Error()
}

// remove forgets the events before to. It need not be durable: after a crash they
// are removed again.
func (l *Log) remove(p *partition, first, tail mark, to uint64) error {
	next := tail
	if to < tail.sequence {
		h, err := l.header(p, to)
		if err != nil {
			return err
		}
		next = mark{to, h.offset, h.latest}
	}
	l.reading.RLock()
	defer l.reading.RUnlock()
	if l.closed {
		return storage.ErrClosed
	}
	b := l.db.NewBatch()
	_ = b.DeleteRange(eventKey(p.number, first.sequence), eventKey(p.number, to), nil) // fails only on an indexed batch
	_ = b.Set(metaKey(p.number), next.appendMeta(nil), nil)
	if err := errors.Join(b.Commit(pebble.NoSync), b.Close()); err != nil {
		return err
	}
	p.mu.Lock()
	p.first = next
	p.mu.Unlock()
	return nil
}

// doubt is how long the wall clock must disagree with the monotonic one before a
// steadyClock believes it, and slack how far it may be off unnoticed.
const (
	doubt = time.Hour
	slack = time.Minute
)

// A steadyClock is the wall clock without its jumps, until one has lasted for an
// hour.
type steadyClock struct {
	wall    func() time.Time
	elapsed func() time.Duration

	started bool
	begin   time.Time     // the wall clock when elapsed was zero, as believed
	doubted bool          // they disagree,
	since   time.Duration // since then
}

func (c *steadyClock) now() time.Time {
	wall, elapsed := c.wall(), c.elapsed()
	steady := c.begin.Add(elapsed)
	agree := !c.started || wall.Sub(steady).Abs() <= slack
	if !agree && !c.doubted {
		c.doubted, c.since = true, elapsed
	}
	if agree || elapsed-c.since >= doubt {
		c.started, c.doubted, c.begin = true, false, wall.Add(-elapsed)
		return wall
	}
	return steady
}
