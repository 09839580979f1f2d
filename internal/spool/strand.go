package spool

import (
	"container/list"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// One refill reads at most this much from the database.
const (
	refillRecords = 256
	refillBytes   = 256 << 10
)

// A strand is the records of one lane and priority, in order. Those not yet read
// are, in order: recent, then what the database has from diskFrom to last.
// Everything is guarded by Queue.mu.
type strand struct {
	lane *lane
	key  strandKey

	// the writer's view, at the end of what it has given to Pebble
	put, taken tally // since the strand was last empty in memory
	tallied    bool  // the database has a tally

	change change // the writer's alone

	// the reader's view: what is durable
	live        tally // stored and not settled
	recent      []Record
	recentBytes int64
	diskFrom    uint64 // 0: nothing to read but recent
	last        uint64 // the last durable record's sequence number
	seen        uint64 // the last that has left for a reader, or expired
	perishable  bool   // may hold a record that expires
	inWindow    *list.Element
}

func (st *strand) readable() bool { return len(st.recent) > 0 || st.diskFrom != 0 }

// publish makes a record that has become durable readable, from memory if it
// may. At most so many records follow it at once, itself included.
func (st *strand) publish(r Record, following int) {
	st.last = r.seq
	st.live = st.live.plus(weigh(r.size(), r.shared != nil))
	st.perishable = st.perishable || !r.Expires.IsZero()
	if st.diskFrom != 0 {
		r.shared.lose()
		return
	}
	if !st.lane.q.window.admit(st, r.size()) {
		st.diskFrom = r.seq
		r.shared.lose()
		return
	}
	if st.recent == nil {
		if r.shared != nil {
			following = following/r.shared.n + 1
		}
		st.recent = make([]Record, 0, min(following, 16))
	}
	st.push(r)
}

func (st *strand) push(r Record) {
	st.recent = append(st.recent, r)
	st.lane.q.window.add(st, r.size())
}

func (st *strand) pop() {
	size := st.recent[0].size()
	st.seen = max(st.seen, st.recent[0].seq)
	st.recent[0] = Record{}
	st.recent = st.recent[1:]
	if len(st.recent) == 0 {
		st.recent = nil
	}
	st.lane.q.window.sub(st, size)
}

// evict leaves recent to the database.
func (st *strand) evict() {
	if len(st.recent) == 0 {
		return
	}
	st.diskFrom = st.recent[0].seq
	for i := range st.recent {
		st.recent[i].shared.lose()
	}
	st.recent = nil
	st.lane.q.window.sub(st, st.recentBytes)
}

// rewind makes seq, which was read, the next to read, unless an earlier one is.
func (st *strand) rewind(seq uint64) {
	st.evict()
	if st.diskFrom == 0 || seq < st.diskFrom {
		st.diskFrom = seq
	}
}

type cause uint8

const (
	delivered cause = iota
	expiredAway
	died
)

// A removal takes one record out of the database.
type removal struct {
	strand *strand
	seq    uint64
	tally  tally
	shared *shared
	letter *DeadLetter // not nil: it becomes this dead letter
	next   *removal    // from the strand, in the same commit
}

// settle counts a record as settled, and returns what removes it.
func (f flight) settle(seq uint64, why cause) removal {
	st, t := f.strand, weigh(f.size, f.shared != nil)
	st.live = st.live.minus(t)
	st.lane.removing++
	switch counts := &st.lane.q.counts; why {
	case delivered:
		counts.Delivered++
	case expiredAway:
		counts.Expired++
	}
	return removal{strand: st, seq: seq, tally: t, shared: f.shared}
}

// refill reads up to max records from the database into recent. Only the holder
// of the lease calls it, so nobody else moves diskFrom forward meanwhile.
func (st *strand) refill(max int) error {
	q := st.lane.q
	q.mu.Lock()
	from, last := st.diskFrom, st.last
	idle := len(st.recent) > 0 || from == 0 || st.lane.gone
	q.mu.Unlock()
	if idle {
		return nil
	}
	recs, more, err := q.store.scan(st, from, last, max)
	if err != nil && len(recs) == 0 {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if st.lane.gone || st.diskFrom != from {
		return nil
	}
	for _, r := range recs {
		st.push(r)
	}
	switch {
	case more || err != nil:
		st.diskFrom = recs[len(recs)-1].seq + 1
	case st.last > last:
		st.diskFrom = last + 1
	default:
		st.diskFrom = 0
	}
	q.window.trim(st)
	return nil
}

// scan reads up to max records of a strand from the database, in [from, last]. It reads
// nothing past last: what is there may not be durable. more says that it
// stopped at its limit; on an error it returns what it had.
func (s *Store) scan(st *strand, from, last uint64, max int) (recs []Record, more bool, err error) {
	s.reading.RLock()
	defer s.reading.RUnlock()
	if s.closed {
		return nil, false, ErrClosed
	}
	it, err := s.db.NewIter(&pebble.IterOptions{
		LowerBound: st.key.entry(nil, from),
		UpperBound: st.key.entry(nil, last+1),
	})
	if err != nil {
		return nil, false, s.damaged(err)
	}
	defer func() { _ = it.Close() }() // read-only: its errors are Error's
	data := sharedReader{records: it}
	defer data.close()
	var bytes int64
	for ok := it.First(); ok; ok = it.Next() {
		if len(recs) >= max || bytes >= refillBytes {
			return recs, true, nil
		}
		r, err := st.decode(it, &data)
		if err != nil {
			return recs, false, s.damaged(err)
		}
		bytes += r.size()
		recs = append(recs, r)
	}
	if err := it.Error(); err != nil {
		return recs, false, s.damaged(err)
	}
	return recs, false, nil
}

// decode makes a Record of the iterator's position, with data of its own.
func (st *strand) decode(it *pebble.Iterator, shared *sharedReader) (Record, error) {
	key := it.Key()
	_, seq, err := parseEntry(key)
	if err != nil {
		return Record{}, err
	}
	value, err := it.ValueAndErr()
	if err != nil {
		return Record{}, err
	}
	r := Record{Priority: st.key.priority, seq: seq, strand: st}
	h, data, err := parseRecord(value, key)
	switch {
	case err != nil:
	case h.reference:
		r.shared, r.Data, err = shared.at(seq-h.index, h)
	default:
		r.Data = append([]byte(nil), data...)
	}
	if err != nil {
		return Record{}, fmt.Errorf("record %d of queue %q, lane %q: %w", seq, st.key.queue, st.key.lane, err)
	}
	r.Stored, r.Expires = fromMillis(h.stored), fromMillis(h.expires)
	return r, nil
}

func (s *Store) damaged(err error) error { return &DamagedError{Dir: s.dir, Err: err} }

func (s *Store) damagedIf(err error) error {
	if err == nil {
		return nil
	}
	return s.damaged(err)
}
