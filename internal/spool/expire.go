package spool

import "time"

// keep is the keeper: it sweeps until the store ends, and speaks for it if it
// fails.
func (s *Store) keep() {
	tick := time.NewTicker(s.opt.SweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.space.restore()
			s.sweep()
			s.checkpointSoon()
		case <-s.failed:
			s.lastWords()
			return
		case <-s.lifetime.Done():
			return
		}
	}
}

// lastWords answers whoever waits, and reports the failure.
func (s *Store) lastWords() {
	failure := s.Err()
	s.inbox.close(failure)
	for _, q := range s.allQueues() {
		q.shut(failure)
	}
	for ops := s.inbox.take(1<<62, true); len(ops) > 0; ops = s.inbox.take(1<<62, true) {
		for _, o := range ops {
			if o.done != nil {
				o.done(failure)
			}
		}
	}
	if s.opt.Fatal != nil {
		s.opt.Fatal(failure)
	}
}

// sweep removes expired records from the heads of lanes that nobody reads, so
// that they free their space. Records behind one that lives are left for the
// reader.
func (s *Store) sweep() {
	now := s.opt.Now()
	for _, q := range s.allQueues() {
		for _, l := range q.borrow() {
			l.sweep(now)
			l.giveBack()
		}
	}
}

// borrow leases the lanes that may hold expired records and that nobody holds,
// resting ones too.
func (q *Queue) borrow() (leases []*Lease) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, ln := range q.lanes {
		if ln.lease == nil && !ln.rewound && ln.perishable() {
			q.ready.remove(ln)
			leases = append(leases, ln.hold())
		}
	}
	return leases
}

func (ln *lane) perishable() bool {
	for _, st := range ln.strands {
		if st.perishable && st.readable() {
			return true
		}
	}
	return false
}

// giveBack ends a borrow; a rest goes on.
func (l *Lease) giveBack() {
	q := l.lane.q
	q.mu.Lock()
	defer q.mu.Unlock()
	l.done = true
	l.lane.lease = nil
	if !l.lane.gone {
		q.offer(l.lane)
	}
}

func (l *Lease) sweep(now time.Time) {
	q := l.lane.q
	q.mu.Lock()
	strands := append([]*strand(nil), l.lane.strands...)
	q.mu.Unlock()
	for _, st := range strands {
		if err := st.sweep(now); err != nil {
			q.store.log.Error("spool: sweep", "queue", q.name, "lane", l.lane.name, "error", err)
		}
	}
}

// sweep looks at the strand's head, and goes on only while it finds expired
// records.
func (st *strand) sweep(now time.Time) error {
	for look := 1; ; look = refillRecords {
		if err := st.refill(look); err != nil {
			return err
		}
		gone := st.expire(now)
		if len(gone) == 0 {
			return nil
		}
		st.lane.q.store.inbox.remove(gone)
	}
}

// expire settles the expired records at the head of recent.
func (st *strand) expire(now time.Time) (gone []removal) {
	q := st.lane.q
	q.mu.Lock()
	defer q.mu.Unlock()
	for !st.lane.gone && len(st.recent) > 0 && st.recent[0].expired(now) {
		r := st.recent[0]
		st.pop()
		gone = append(gone, r.flight().settle(r.seq, expiredAway))
	}
	return gone
}
