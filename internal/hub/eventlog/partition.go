package eventlog

import (
	"errors"
	"fmt"
	"sluice/internal/hub/storage"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// A partition is one ordered part of the log.
type partition struct {
	number int
	end    mark // after all that was given to Pebble; the writer's

	mu    sync.Mutex
	first mark          // the oldest event that is kept
	tail  mark          // after the last durable event
	grown chan struct{} // closed when tail moves; nil while nobody waits
}

// load learns what the database holds of a partition.
func (l *Log) load(number int) (*partition, error) {
	p := &partition{number: number}
	value, closer, err := l.db.Get(metaKey(number))
	switch {
	case err == nil:
		p.first, err = parseMeta(value)
		err = errors.Join(err, closer.Close())
	case errors.Is(err, pebble.ErrNotFound):
		err = nil
	}
	if err == nil {
		p.tail = p.first
		err = l.loadEvents(p)
	}
	if err != nil {
		return nil, l.damaged(fmt.Errorf("partition %d: %w", number, err))
	}
	p.end = p.tail
	return p, nil
}

// loadEvents finds the first and the last event.
func (l *Log) loadEvents(p *partition) (err error) {
	it, err := l.db.NewIter(&pebble.IterOptions{
		LowerBound: eventKey(p.number, 0), UpperBound: eventKey(p.number+1, 0),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	if !it.First() {
		return it.Error()
	}
	first, err := parseEventKey(it.Key())
	if err != nil {
		return err
	}
	if first != p.first.sequence {
		return fmt.Errorf("begins with event %d, not %d", first, p.first.sequence)
	}
	it.Last()
	last, err := parseEventKey(it.Key())
	if err != nil {
		return err
	}
	value, err := it.ValueAndErr()
	if err != nil {
		return err
	}
	h, message, err := parseRecord(it.Key(), value)
	if err != nil {
		return fmt.Errorf("event %d: %w", last, err)
	}
	p.tail = mark{last + 1, h.offset + uint64(recordLen(len(message))), h.latest}
	return nil
}

// publish makes what was stored up to tail readable, and returns how many bytes
// the partition has.
func (p *partition) publish(tail mark) (bytes uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tail = tail
	if p.grown != nil {
		close(p.grown)
		p.grown = nil
	}
	return p.tail.offset - p.first.offset
}

func (p *partition) bounds() (first, tail mark) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.first, p.tail
}

// after returns a channel that is closed once there is an event with sequence
// number n, or nil if there is one.
func (p *partition) after(n uint64) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n < p.tail.sequence {
		return nil
	}
	if p.grown == nil {
		p.grown = make(chan struct{})
	}
	return p.grown
}

// Stats describes what is durable in a partition.
func (l *Log) Stats(partition int) (storage.Stats, error) {
	if partition < 0 || partition >= len(l.partitions) {
		return storage.Stats{}, fmt.Errorf("%w: %d of %d", storage.ErrNoPartition, partition, len(l.partitions))
	}
	first, tail := l.partitions[partition].bounds()
	s := storage.Stats{
		Partition: partition, First: first.sequence, Next: tail.sequence,
		Offset: tail.offset, Bytes: tail.offset - first.offset,
	}
	if tail.sequence > 0 {
		s.LastTime = time.UnixMicro(tail.latest).UTC()
	}
	return s, nil
}
