package spool

// An epoch is what has come into a segment of the journal: what the database does not
// know yet, when the epochs before are applied. Only the writer touches it.
type epoch struct {
	number   uint64
	base     uint64 // the records of this epoch have higher sequence numbers
	journal  int64  // bytes written
	bytes    int64  // of young records and dead letters
	removals int    // of records that the database has

	nursery  nursery
	strands  []*strand           // that records were put into or taken from
	removed  map[uint64]struct{} // records that shared data, if the database has them
	dropped  []uint64            // shared data that has no record any more
	swept    bool                // something was done behind a purge
	letters  []*DeadLetter       // new ones
	unburied []uint64            // dead letters that went
}

// part returns how much of a full journal the epoch is. At 1 a checkpoint should take it.
// The next epoch may begin meanwhile, and should not grow above most.
func (e *epoch) part(full int64) float64 {
	return max(
		float64(e.journal)/float64(full),
		float64(e.bytes)/float64(full)*4/3, // they are in memory, too
		float64(e.removals)/float64(full)*128,
	)
}

const most = 1.5

// empty reports whether there is nothing that the database should know.
func (e *epoch) empty() bool { return e.journal == 0 && !e.swept }

// touch notes that the epoch changes a strand.
func (e *epoch) touch(st *strand) {
	if st.epoch != e.number {
		st.epoch = e.number
		e.strands = append(e.strands, st)
	}
}

// next returns the epoch that begins where this one ends.
func (e *epoch) next(seq uint64) epoch {
	return epoch{number: e.number + 1, base: seq, removed: make(map[uint64]struct{})}
}

// account notes what an op puts in and takes out.
func (s *Store) account(o *op) {
	e := &s.commit.epoch
	for i := range o.placed {
		p := &o.placed[i]
		e.touch(p.strand)
		e.bytes += weigh(p.entry.size(), p.shared != nil).own()
		if p.shared != nil && p.shared.first == p.seq {
			e.bytes += p.shared.size
			s.commit.held = s.commit.held.plus(weigh(p.shared.size, false))
		}
	}
	for i := range o.removals {
		o.removals[i].counts = s.take(&o.removals[i])
	}
	for _, seq := range o.undead {
		s.unbury(seq)
	}
	if o.swept != nil {
		s.adoptSwept(o.swept)
	}
}

// take counts a record out, unless its lane was purged.
func (s *Store) take(r *removal) bool {
	e, young := &s.commit.epoch, r.seq > s.commit.epoch.base
	if !r.strand.take(r, young, e) {
		return false
	}
	e.touch(r.strand)
	if young {
		e.bytes -= r.tally.own()
	} else {
		e.removals++
	}
	if r.shared != nil {
		if !young {
			e.removed[r.seq] = struct{}{}
		}
		s.release(r)
	}
	s.commit.limits.used.Add(-r.tally.own())
	if r.letter != nil {
		e.letters = append(e.letters, r.letter)
		e.bytes += r.letter.size()
		s.dead.add(r.letter)
	}
	return true
}

func (st *strand) take(r *removal, young bool, e *epoch) bool {
	q := st.lane.q
	q.mu.Lock()
	defer q.mu.Unlock()
	if st.lane.gone {
		return false
	}
	st.taken = st.taken.plus(r.tally)
	if young {
		st.bury(r.seq, e)
	} else {
		st.removed.add(r.seq)
	}
	return true
}

// unbury removes a dead letter.
func (s *Store) unbury(seq uint64) {
	if s.dead.remove(seq) {
		s.commit.epoch.unburied = append(s.commit.epoch.unburied, seq)
	}
}

// wasRemoved reports whether the database may still have a record, that shares data,
// though it was removed.
func (c *committer) wasRemoved(seq uint64) bool {
	_, now := c.epoch.removed[seq]
	_, before := c.sealed.removed[seq]
	return now || before
}

// adoptSwept removes what a sweep has found, unless there was a purge meanwhile: then the
// sweep begins anew, and will find the same again.
func (s *Store) adoptSwept(found *swept) {
	if !s.orphans.advance(found.left) {
		return
	}
	for _, o := range found.orphans {
		s.drop(o.first, o.size)
	}
	s.commit.epoch.swept = true
}
