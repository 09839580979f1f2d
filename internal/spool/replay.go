package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"sluice/internal/spool/journal"
)

// replay opens the journal and goes through what the database does not know: the first
// epoch begins with it.
func (s *Store) replay(dir string) (err error) {
	var applied uint64
	err = s.get([]byte{keyJournal}, func(value []byte) error {
		if len(value) != 8 {
			return errValue
		}
		applied = binary.BigEndian.Uint64(value)
		return nil
	})
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	s.commit.epoch.base = s.commit.seq
	reader := blockReader{strand: s.strandOf}
	s.journal, err = journal.Open(s.fs, dir, applied, journal.Options{SegmentBytes: s.opt.JournalBytes}, func(block []byte) error {
		return s.replayBlock(&reader, block)
	})
	var damaged *journal.DamagedError
	switch {
	case errors.As(err, &damaged):
		return s.damaged(err)
	case err != nil:
		return err
	}
	for _, q := range s.allQueues() {
		q.offerReplayed()
	}
	return nil
}

// strandOf returns the strand that has a key.
func (s *Store) strandOf(key strandKey) *strand {
	q := s.Queue(key.queue)
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.lane(key.lane).strand(key.priority)
}

// replayBlock does once more what a commit did.
func (s *Store) replayBlock(r *blockReader, block []byte) error {
	read, err := r.read(slices.Clone(block))
	if err != nil {
		return s.damaged(fmt.Errorf("journal: %w", err))
	}
	o := &op{undead: read.undead, placed: make([]placed, len(read.entries))}
	for i := range read.entries {
		s.placeAgain(o, read.entries, i)
	}
	for i := range read.removals {
		r, err := s.removeAgain(&read.removals[i])
		if err != nil {
			return s.damaged(fmt.Errorf("journal: %w", err))
		}
		o.removals = append(o.removals, r)
	}
	s.commit.limits.used.Add(o.bytes)
	s.account(o)
	s.search()
	s.trim()
	s.commit.epoch.journal += int64(len(block))
	for i := range o.placed {
		p := &o.placed[i]
		p.strand.replay(s.commit.epoch.nursery.next().set(p, read.stored))
	}
	return nil
}

// placeAgain gives an entry the place that it had.
func (s *Store) placeAgain(o *op, entries []readEntry, i int) {
	e := &entries[i]
	p := placed{entry: &e.Entry, strand: e.strand, seq: e.seq}
	n := 1
	for i+n < len(entries) && entries[i+n].shares {
		n++
	}
	switch {
	case e.shares:
		p.shared = o.placed[i-1].shared
		p.shared.strands[e.seq-p.shared.first] = e.strand
		o.bytes += Overhead
	case n > 1:
		p.shared = newShared(e.seq, n, e.size())
		p.shared.strands[0] = e.strand
		o.bytes += e.size() + Overhead
	default:
		o.bytes += e.size()
	}
	q := e.strand.lane.q
	q.mu.Lock()
	defer q.mu.Unlock()
	p.before = e.strand.put
	e.strand.put = e.strand.put.plus(weigh(e.size(), p.shared != nil))
	o.placed[i] = p
	s.commit.seq = max(s.commit.seq, e.seq)
}

// removeAgain returns what removes a record once more.
func (s *Store) removeAgain(g *readRemoval) (removal, error) {
	r := removal{strand: g.strand, seq: g.seq, tally: weigh(g.size, g.place > 0), letter: g.letter}
	q := g.strand.lane.q
	q.mu.Lock()
	g.strand.live = g.strand.live.minus(r.tally)
	g.strand.seen = max(g.strand.seen, g.seq) // it had left for a reader
	if g.seq > s.commit.epoch.base {
		i, list := g.strand.findYoung(g.seq), g.strand.young.list()
		if i == len(list) || list[i].seq != g.seq || list[i].gone {
			q.mu.Unlock()
			return r, fmt.Errorf("%w: a record was removed that is not there", errValue)
		}
		r.shared = list[i].shared
	}
	q.mu.Unlock()
	if g.place > 0 && r.shared == nil {
		r.shared = s.sharedOf(g.seq - (g.place - 1))
	}
	return r, nil
}

// sharedOf returns what keeps shared data in the database, or nil if it cannot be read.
func (s *Store) sharedOf(first uint64) (sh *shared) {
	key := seqKey(keyShared, first)
	_ = s.get(key, func(value []byte) (err error) { // it is nobody's then, and stays
		sh, _, err = parseShared(slices.Clone(value), key)
		return err
	})
	return sh
}

// replay makes a record readable that was published once.
func (st *strand) replay(y *young) {
	q := st.lane.q
	q.mu.Lock()
	defer q.mu.Unlock()
	st.add(y)
	if st.behind == 0 {
		st.behind = y.seq
	}
}

// offerReplayed lets readers have what was replayed.
func (q *Queue) offerReplayed() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, ln := range q.lanes {
		for _, st := range ln.strands {
			if st.live.n == 0 {
				st.behind = 0
			}
		}
		q.offer(ln)
	}
}
