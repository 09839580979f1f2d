package spool

import (
	"maps"
	"sort"
	"time"
)

// Counts are events since the store was opened.
type Counts struct {
	Appended  uint64 // stored durably
	Delivered uint64 // acknowledged
	Expired   uint64
	Purged    uint64
	Dead      map[string]uint64 // by reason
}

// QueueStats describe a queue as it is. Records counts what is stored and not
// settled, in flight or not; it is right from the moment of Open.
type QueueStats struct {
	Records uint64
	Bytes   int64 // data plus Overhead each
	Lanes   int   // that hold a record
	Leased  int   // lanes held by a consumer
	Resting int   // lanes released with a delay that has not passed
	Counts  Counts
}

// LaneStats describe a lane that holds a record.
type LaneStats struct {
	Lane    string
	Records uint64
	Bytes   int64
	Leased  bool
	Resting bool
}

// StoreStats describe a store.
type StoreStats struct {
	Bytes    int64  // what counts against Options.MaxBytes
	Pending  int64  // bytes given to Append and not called back
	Refusing bool   // for want of disk space
	Commits  uint64 // atomic writes fsynced since Open
	Disk     uint64 // bytes that the journal's and the database's files take
}

// Stats returns the store's figures.
func (s *Store) Stats() StoreStats {
	st := StoreStats{Bytes: s.commit.limits.used.Load(), Refusing: s.space.short.Load(), Commits: s.syncs.Load()}
	s.inbox.mu.Lock()
	st.Pending = s.inbox.bytes
	s.inbox.mu.Unlock()
	s.reading.RLock()
	defer s.reading.RUnlock()
	if !s.closed {
		m := s.db.Metrics()
		st.Disk = m.DiskSpaceUsage() + uint64(s.journal.Bytes())
	}
	return st
}

// Queues returns all queues that were named or hold records, by name: after a
// restart, those too that nobody names any more.
func (s *Store) Queues() []*Queue {
	queues := s.allQueues()
	sort.Slice(queues, func(i, j int) bool { return queues[i].name < queues[j].name })
	return queues
}

// Stats returns the queue's figures.
func (q *Queue) Stats() QueueStats {
	q.mu.Lock()
	defer q.mu.Unlock()
	st := QueueStats{Counts: q.counts}
	st.Counts.Dead = maps.Clone(q.counts.Dead)
	for _, ln := range q.lanes {
		live := ln.live()
		st.Records += live.n
		st.Bytes += int64(live.bytes)
		if live.n > 0 {
			st.Lanes++
		}
		if ln.lease != nil {
			st.Leased++
		}
		if ln.rest != nil {
			st.Resting++
		}
	}
	return st
}

// Lanes returns the lanes that hold records, by name.
func (q *Queue) Lanes() []LaneStats {
	q.mu.Lock()
	defer q.mu.Unlock()
	var out []LaneStats
	for _, ln := range q.lanes {
		if live := ln.live(); live.n > 0 {
			out = append(out, LaneStats{
				Lane: ln.name, Records: live.n, Bytes: int64(live.bytes),
				Leased: ln.lease != nil, Resting: ln.rest != nil,
			})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Lane < out[j].Lane })
	return out
}

// Oldest returns when the queue's oldest record was stored; the zero time if
// there is none. It reads one record per lane and priority.
func (q *Queue) Oldest() (oldest time.Time, err error) {
	q.mu.Lock()
	var strands []*strand
	for _, ln := range q.lanes {
		for _, st := range ln.strands {
			if st.live.n > 0 {
				strands = append(strands, st)
			}
		}
	}
	q.mu.Unlock()
	for _, st := range strands {
		first, err := q.store.oldest(st)
		if err != nil {
			return oldest, err
		}
		if oldest.IsZero() || !first.IsZero() && first.Before(oldest) {
			oldest = first
		}
	}
	return oldest, nil
}

// oldest returns when the strand's first record was stored; the zero time if it is gone.
func (s *Store) oldest(st *strand) (time.Time, error) {
	q := st.lane.q
	q.mu.Lock()
	applied, removed := st.applied, st.removed.since(0)
	young := st.oldestYoung(removed)
	q.mu.Unlock()
	recs, _, err := s.scan(st, 0, applied, 1, removed)
	if len(recs) > 0 {
		return recs[0].Stored, nil
	}
	return young, err
}

// oldestYoung returns when the first young record was stored that was not removed; the
// zero time if there is none.
func (st *strand) oldestYoung(removed map[uint64]struct{}) time.Time {
	for _, y := range st.young.list() {
		if _, hidden := removed[y.seq]; !hidden && !y.gone {
			return fromMillis(y.stored)
		}
	}
	return time.Time{}
}
