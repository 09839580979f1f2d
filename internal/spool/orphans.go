package spool

import (
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
)

// orphanLook is how much shared data one commit's sweep looks at.
const orphanLook = 1024

// orphans are shared data that no record has any more. Only a purge leaves some: it
// removes records without looking at them. What it may have left is written down with
// it, and swept behind it, also after a restart.
type orphans struct {
	wake  chan struct{} // capacity 1: there may be something to sweep
	limbo atomic.Int64  // purges, and removals from purged lanes, that are not yet applied

	mu   sync.Mutex
	task task
}

// A task is what a sweep has still to look at: shared data from one sequence number to
// another.
type task struct {
	from, to uint64
	purges   uint64 // since Open, to tell a task from the one before
}

func (t task) done() bool { return t.from > t.to }

// swept is what one step of a sweep found: an op's part.
type swept struct {
	orphans []*shared
	left    task
}

func (o *orphans) init() {
	o.wake = make(chan struct{}, 1)
	o.task = task{from: 1}
}

func (o *orphans) raise() { raise(o.wake) }

// load begins with what the database says is still to be looked at.
func (o *orphans) load(value []byte) error {
	if len(value) != 16 {
		return errValue
	}
	o.task = task{from: binary.BigEndian.Uint64(value), to: binary.BigEndian.Uint64(value[8:])}
	o.raise()
	return nil
}

// arrived notes that a purge, or a removal from a purged lane, was applied.
func (o *orphans) arrived() {
	if o.limbo.Add(-1) == 0 {
		o.raise()
	}
}

// next returns what is to be swept now. That is nothing before the purge is applied,
// and as long as a removal from a purged lane is under way: memory still counts on it,
// and so whoever removes the last other record does not look for more.
func (o *orphans) next() (t task, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.task, !o.task.done() && o.limbo.Load() == 0
}

// lookAgain has all shared data looked at after a purge.
func (s *Store) lookAgain(removing int) {
	o := &s.orphans
	o.limbo.Add(1 + int64(removing))
	if s.commit.held.n == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.task = task{from: 0, to: s.commit.seq, purges: o.task.purges + 1}
}

// advance notes what is left of a task, if that is still the one to be done.
func (o *orphans) advance(left task) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.task.purges != left.purges {
		return false
	}
	o.task = left
	return true
}

// left returns what is still to be looked at.
func (o *orphans) left() task {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.task
}

// adopt sweeps behind purges until the store ends.
func (s *Store) adopt() {
	for {
		select {
		case <-s.orphans.wake:
		case <-s.failed:
			return
		case <-s.lifetime.Done():
			return
		}
		for t, ok := s.orphans.next(); ok; t, ok = s.orphans.next() {
			if err := s.sweepOrphans(t); err != nil {
				if !errors.Is(err, ErrClosed) {
					s.log.Error("spool: sweep behind a purge", "dir", s.dir, "error", err)
				}
				break // it is tried again after the next purge, or the next Open
			}
		}
	}
}

// sweepOrphans does one step of a task, and waits until it is durable.
func (s *Store) sweepOrphans(t task) error {
	found, err := s.findOrphans(t)
	if err != nil {
		return err
	}
	wait := make(chan error, 1)
	s.submit(&op{swept: found, done: func(err error) { wait <- err }})
	select {
	case err = <-wait:
		return err
	case <-s.failed:
		return s.Err()
	}
}

// findOrphans looks at some shared data. It looks for the records as of when it sees
// the data: data that has none then has been left by a purge, and is nobody's.
func (s *Store) findOrphans(t task) (*swept, error) {
	s.reading.RLock()
	defer s.reading.RUnlock()
	if s.closed {
		return nil, ErrClosed
	}
	it, err := s.db.NewIter(&pebble.IterOptions{
		LowerBound: seqKey(keyShared, t.from), UpperBound: seqKey(keyShared, t.to+1),
	})
	if err != nil {
		return nil, s.damaged(err)
	}
	defer func() { _ = it.Close() }() // read-only: its errors are Error's
	records, err := it.Clone(pebble.CloneOptions{IterOptions: &pebble.IterOptions{}})
	if err != nil {
		return nil, s.damaged(err)
	}
	defer func() { _ = records.Close() }() // read-only
	t.from = t.to + 1
	var searches []search
	for ok := it.First(); ok; ok = it.Next() {
		if len(searches) == orphanLook {
			if t.from, err = parseSeqKey(it.Key()); err != nil {
				return nil, s.damaged(err)
			}
			break
		}
		if f, ok := searchAt(it); ok {
			searches = append(searches, f)
		}
	}
	if err := it.Error(); err != nil {
		return nil, s.damaged(err)
	}
	return &swept{orphans: orphaned(records, searches, func(uint64) bool { return false }), left: t}, nil
}

// searchAt looks for any record of the data that it stands on. What cannot be read is
// left alone.
func searchAt(it *pebble.Iterator) (search, bool) {
	value, err := it.ValueAndErr()
	if err != nil {
		return search{}, false
	}
	sh, _, err := parseShared(value, it.Key())
	if err != nil {
		return search{}, false
	}
	sh.names = slices.Clone(sh.names)
	return search{shared: sh, place: sh.n - 1, rest: sh.n}, true
}
