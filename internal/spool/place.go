package spool

// place decides whether an op's entries are stored, and where.
func (s *Store) place(o *op) error {
	if len(o.entries) == 0 {
		return nil
	}
	if s.space.low() {
		return ErrNoSpace
	}
	if err := s.commit.limits.admit(o.bytes); err != nil {
		return err
	}
	o.placed = s.commit.roomFor(len(o.entries))
	for i := 0; i < len(o.entries); {
		i += s.placeAlike(o, i)
	}
	if s.commit.limits.lanes() && s.anyLaneFull(o) {
		s.unplace(o)
		return ErrLaneFull
	}
	return nil
}

// roomFor returns room for n placed, to the end of the commit.
func (c *committer) roomFor(n int) []placed {
	const least = 256
	if cap(c.placed)-len(c.placed) < n {
		c.placed = make([]placed, 0, max(n, min(2*cap(c.placed), commitBytes/Overhead), least))
	}
	at := len(c.placed)
	c.placed = c.placed[:at+n]
	return c.placed[at : at+n : at+n]
}

// placeEntry gives an entry its place, which is in the strand given if that is the one;
// it is nil or has an entry of the same op.
func (s *Store) placeEntry(e *Entry, st *strand, shared *shared) placed {
	if st != nil && st.key.is(e) {
		st.lane.q.mu.Lock()
		defer st.lane.q.mu.Unlock()
	} else {
		q := s.Queue(e.Queue)
		q.mu.Lock()
		defer q.mu.Unlock()
		st = q.lane(e.Lane).strand(e.Priority)
	}
	s.commit.seq++
	p := placed{entry: e, strand: st, seq: s.commit.seq, before: st.put, shared: shared}
	st.put = st.put.plus(weigh(e.size(), shared != nil))
	return p
}

func (s *Store) anyLaneFull(o *op) bool {
	for i := range o.placed {
		ln := o.placed[i].strand.lane
		ln.q.mu.Lock()
		full := s.commit.limits.laneFull(ln)
		ln.q.mu.Unlock()
		if full {
			return true
		}
	}
	return false
}

// unplace undoes place. Sequence numbers stay used.
func (s *Store) unplace(o *op) {
	s.commit.limits.used.Add(-o.bytes)
	for i := range o.placed {
		st, q := o.placed[i].strand, o.placed[i].strand.lane.q
		q.mu.Lock()
		st.put = st.put.minus(weigh(o.entries[i].size(), o.placed[i].shared != nil))
		q.forget(st.lane)
		q.mu.Unlock()
	}
	o.placed = nil
}
