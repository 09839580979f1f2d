package spool

import (
	"encoding/binary"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// A change is what a commit does to one strand.
type change struct {
	first, newest   *placed  // put in
	taken, lastGone *removal // taken out
}

// change returns what the commit being made does to a strand so far.
func (s *Store) change(st *strand) *change {
	c := &st.change
	if c.first == nil && c.taken == nil {
		s.commit.strands = append(s.commit.strands, st)
	}
	return c
}

// chain adds an op's entries to what the commit puts into their strands.
func (s *Store) chain(o *op) {
	for i := range o.placed {
		p := &o.placed[i]
		if p.shared != nil && p.shared.first == p.seq {
			s.commit.bundles = append(s.commit.bundles, p)
		}
		if c := s.change(p.strand); c.first == nil {
			c.first, c.newest = p, p
		} else {
			c.newest.next, c.newest = p, p
		}
	}
}

// unchain adds an op's removals to what the commit takes from their strands.
func (s *Store) unchain(b *pebble.Batch, o *op) {
	for i := range o.removals {
		if r := &o.removals[i]; s.take(r) {
			s.fillRemoval(b, r)
		}
	}
	for _, seq := range o.undead {
		s.dead.remove(b, seq)
	}
	if o.swept != nil {
		s.fillSwept(b, o.swept)
	}
}

// take counts a record out, unless its lane was purged.
func (s *Store) take(r *removal) bool {
	q := r.strand.lane.q
	q.mu.Lock()
	defer q.mu.Unlock()
	if r.strand.lane.gone {
		r.shared.lose()
		return false
	}
	r.strand.taken = r.strand.taken.plus(r.tally)
	return true
}

func (s *Store) fillRemoval(b *pebble.Batch, r *removal) {
	s.commit.limits.used.Add(-r.tally.own())
	if c := s.change(r.strand); c.taken == nil {
		c.taken, c.lastGone = r, r
	} else {
		c.lastGone.next, c.lastGone = r, r
	}
	if r.shared != nil {
		s.release(r)
	}
	if r.letter != nil {
		s.dead.add(b, r.letter)
	}
}

// fillStrands puts entries and removals into the batch strand by strand, and so in the
// order of their keys: Pebble has the place for a key that follows the one before at
// hand, and searches for any other. Messages for three queues would have it search for
// all.
func (s *Store) fillStrands(c *commit) {
	w := &s.commit
	for _, st := range w.strands {
		w.key = slices.Grow(st.key.append(w.key[:0], keyEntry), 8)
		for r := st.change.taken; r != nil; r = r.next {
			_ = c.batch.SingleDelete(w.keyOf(r.seq), nil)
		}
		for p := st.change.first; p != nil; p = p.next {
			s.fillEntry(c, p)
		}
	}
	for _, st := range w.strands {
		if st.change.taken != nil {
			s.fillTally(c.batch, st)
		}
		st.change = change{}
	}
	clear(w.strands)
	w.strands = w.strands[:0]
}

// keyOf is the key of a record of the strand whose part of it key has.
func (c *committer) keyOf(seq uint64) []byte { return binary.BigEndian.AppendUint64(c.key, seq) }

func (s *Store) fillEntry(c *commit, p *placed) {
	w, e, key := &s.commit, p.entry, s.commit.keyOf(p.seq)
	h := header{stored: c.now.UnixMilli(), expires: millis(e.Expires), before: p.before}
	data := e.Data
	if p.shared != nil {
		h.reference, h.index, h.size, data = true, p.seq-p.shared.first, uint64(len(data)), nil
	}
	w.value = appendRecord(w.value[:0], key, h, data)
	s.set(c.batch, key, w.value)
}

// fillTally corrects the odometer of a strand that records were taken from.
func (s *Store) fillTally(b *pebble.Batch, st *strand) {
	q := st.lane.q
	q.mu.Lock()
	t, had := tallies{st.put, st.taken}, st.tallied
	left := t.put.n != t.taken.n
	st.tallied = left
	q.mu.Unlock()
	s.commit.key = st.key.append(s.commit.key[:0], keyTally)
	if left {
		s.set(b, s.commit.key, t.append(s.commit.value[:0]))
	} else if had {
		_ = b.Delete(s.commit.key, nil)
	}
}
