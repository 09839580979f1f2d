package eventlog

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sluice/internal/hub/storage"
	"sort"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// One read returns at most this much, and one event at least.
const (
	readBytes  = 1 << 20
	readEvents = 10_000
)

// A Reader reads one partition in order. It holds no resources and need not be
// closed. It is for one goroutine at a time.
type Reader struct {
	log  *Log
	p    *partition
	next uint64
}

// Reader returns a reader of a partition. The error is [ErrNoPartition],
// [ErrClosed] or a [*DamagedError].
func (l *Log) Reader(partition int, from storage.Position) (storage.EventReader, error) {
	if partition < 0 || partition >= len(l.partitions) {
		return nil, fmt.Errorf("%w: %d of %d", storage.ErrNoPartition, partition, len(l.partitions))
	}
	r := &Reader{log: l, p: l.partitions[partition]}
	var err error
	if r.next, err = r.seek(from); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Reader) seek(from storage.Position) (uint64, error) {
	first, tail := r.p.bounds()
	switch from.Start {
	case storage.StartLatest:
		return tail.sequence, nil
	case storage.StartAtSequence:
		return max(from.N, first.sequence), nil
	case storage.StartAtOffset:
		return r.log.find(r.p, first, tail, func(h header) bool { return h.offset >= from.N })
	case storage.StartAtTime:
		t := microCeil(from.Time)
		return r.log.find(r.p, first, tail, func(h header) bool { return h.latest >= t })
	}
	return first.sequence, nil
}

// microCeil rounds up, so that a time between two microseconds is not before it.
func microCeil(t time.Time) int64 {
	n := t.UnixMicro()
	if t.Nanosecond()%1000 != 0 {
		n++
	}
	return n
}

// find returns the first event between two marks for which reached, which once
// true stays true, is true; the tail's if there is none.
func (l *Log) find(p *partition, first, tail mark, reached func(header) bool) (uint64, error) {
	n := tail.sequence - first.sequence
	if n > math.MaxInt {
		return 0, l.damaged(fmt.Errorf("partition %d: ends before it begins", p.number))
	}
	var failure error
	i := sort.Search(int(n), func(i int) bool {
		h, err := l.header(p, first.sequence+uint64(i))
		switch {
		case errors.Is(err, pebble.ErrNotFound):
			return false // retention has just removed it
		case err != nil:
			failure = err
			return true
		}
		return reached(h)
	})
	return first.sequence + uint64(i), failure
}

func (l *Log) header(p *partition, sequence uint64) (header, error) {
	l.reading.RLock()
	defer l.reading.RUnlock()
	if l.closed {
		return header{}, storage.ErrClosed
	}
	key := eventKey(p.number, sequence)
	value, closer, err := l.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return header{}, err
	}
	if err != nil {
		return header{}, l.damaged(err)
	}
	defer func() { _ = closer.Close() }() // only gives the value back
	h, _, err := parseRecord(key, value)
	if err != nil {
		return header{}, l.damaged(fmt.Errorf("partition %d, event %d: %w", p.number, sequence, err))
	}
	return h, nil
}

// Next is the sequence number that the reader waits for or reads next.
func (r *Reader) Next() uint64 { return r.next }

// Read returns the next events, at least one and at most limit, which is positive,
// and waits for them if need be. The error is ctx's, [ErrClosed], a [*FatalError] or a
// [*DamagedError]; the reader stays where it is then.
func (r *Reader) Read(ctx context.Context, limit int) ([]storage.Event, error) {
	limit = max(limit, 1)
	for {
		events, err := r.Poll(limit)
		if len(events) > 0 || err != nil {
			return events, err
		}
		if err := r.log.wait(ctx, r.p, r.next); err != nil {
			return nil, err
		}
	}
}

// Wait returns when a partition has had an event with this sequence number: at once
// if it has one, or has one no more. The error is [ErrNoPartition], or as that of
// [Reader.Read].
func (l *Log) Wait(ctx context.Context, partition int, sequence uint64) error {
	if partition < 0 || partition >= len(l.partitions) {
		return fmt.Errorf("%w: %d of %d", storage.ErrNoPartition, partition, len(l.partitions))
	}
	return l.wait(ctx, l.partitions[partition], sequence)
}

func (l *Log) wait(ctx context.Context, p *partition, sequence uint64) error {
	for {
		grown := p.after(sequence)
		if grown == nil {
			return nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		case <-l.lifetime.Done():
			if err := l.Err(); err != nil {
				return err
			}
			return storage.ErrClosed
		}
	}
}

// Poll returns the next events, at most limit, or none if none is durable yet.
func (r *Reader) Poll(limit int) ([]storage.Event, error) {
	first, tail := r.p.bounds()
	r.next = max(r.next, first.sequence)
	if r.next >= tail.sequence || limit <= 0 {
		return nil, nil
	}
	limit = min(limit, readEvents)
	events, err := r.log.scan(r.p, r.next, tail.sequence, limit)
	if len(events) > 0 {
		r.next = events[len(events)-1].Sequence + 1
		return events, nil // the error, if any, comes again
	}
	return nil, err
}

// scan reads events in [from, to). It looks at nothing past to: what is there may
// not be durable. On an error it returns what it had.
func (l *Log) scan(p *partition, from, to uint64, limit int) (events []storage.Event, err error) {
	l.reading.RLock()
	defer l.reading.RUnlock()
	if l.closed {
		return nil, storage.ErrClosed
	}
	it, err := l.db.NewIter(&pebble.IterOptions{
		LowerBound: eventKey(p.number, from), UpperBound: eventKey(p.number, to),
	})
	if err != nil {
		return nil, l.damaged(err)
	}
	defer func() { _ = it.Close() }() // read-only: its errors are Error's
	events = make([]storage.Event, 0, min(uint64(limit), to-from))
	for ok, bytes := it.First(), 0; ok && len(events) < limit && bytes < readBytes; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return events, l.damaged(err)
		}
		e, err := parseEvent(p.number, it.Key(), value)
		if err != nil {
			return events, l.damaged(fmt.Errorf("partition %d, key %x: %w", p.number, it.Key(), err))
		}
		bytes += len(value)
		events = append(events, e)
	}
	if err := it.Error(); err != nil {
		return events, l.damaged(err)
	}
	return events, nil
}
