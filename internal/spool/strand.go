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
// are, in order: recent, then those from behind on, which are the database's up to
// applied, and young above. Everything is guarded by Queue.mu, but for the writer's.
type strand struct {
	lane *lane
	key  strandKey

	// the writer's view, at the end of what it has given to the journal
	put, taken tally // since the strand was last empty in memory
	tallied    bool  // the database has a tally, when all checkpoints begun are done

	epoch   uint64 // the writer's: the last that changes the strand
	segment uint64 // the writer's: the last that names the strand,
	number  uint64 // and as what

	// the reader's view: what is durable
	live        tally // stored and not settled
	recent      []Record
	recentBytes int64
	behind      uint64 // 0: nothing to read but recent
	applied     uint64 // the database has no record above
	last        uint64 // the last durable record's sequence number
	seen        uint64 // the last that has left for a reader, or expired
	perishable  bool   // may hold a record that expires
	inWindow    *list.Element

	young   brood // durable, but not in the database, as far as anyone need know
	removed gone  // but still in the database, or in young as part of a checkpoint
}

func (st *strand) readable() bool { return len(st.recent) > 0 || st.behind != 0 }

// publish makes a record that has become durable readable. At most so many records
// follow it at once, itself included.
func (st *strand) publish(y *young, following int) {
	st.add(y)
	if st.behind != 0 {
		return
	}
	if !st.lane.q.window.admit(st, y.size()) {
		st.behind = y.seq
		return
	}
	if st.recent == nil {
		if y.shared != nil {
			following = following/y.shared.n + 1
		}
		st.recent = make([]Record, 0, min(following, 16))
	}
	st.push(st.record(y))
}

// add takes in a young record; see publish.
func (st *strand) add(y *young) {
	st.young.add(y)
	st.last = y.seq
	st.live = st.live.plus(weigh(y.size(), y.shared != nil))
	st.perishable = st.perishable || y.expires != 0
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

// evict forgets recent: it can be read again.
func (st *strand) evict() {
	if len(st.recent) == 0 {
		return
	}
	st.behind = st.recent[0].seq
	st.recent = nil
	st.lane.q.window.sub(st, st.recentBytes)
}

// rewind makes seq, which was read, the next to read, unless an earlier one is.
func (st *strand) rewind(seq uint64) {
	st.evict()
	if st.behind == 0 || seq < st.behind {
		st.behind = seq
	}
}

type cause uint8

const (
	delivered cause = iota
	expiredAway
	died
)

// A removal takes one record out of the store.
type removal struct {
	strand *strand
	seq    uint64
	tally  tally
	shared *shared
	letter *DeadLetter // not nil: it becomes this dead letter
	counts bool        // the writer's: its lane was not purged
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

// refill reads up to max records into recent. Only the holder of the lease calls it, so
// nobody else moves behind forward meanwhile.
func (st *strand) refill(max int) error {
	q := st.lane.q
	q.mu.Lock()
	defer q.mu.Unlock()
	from, applied, last := st.behind, st.applied, st.last
	if len(st.recent) > 0 || from == 0 || st.lane.gone {
		return nil
	}
	removed := st.removed.since(from)
	if from > applied {
		st.refillYoung(max, removed)
		return nil
	}
	next := st.youngFrom(applied+1, removed) // nobody else takes it; a checkpoint may
	q.mu.Unlock()
	recs, more, err := q.store.scan(st, from, applied, max, removed)
	q.mu.Lock()
	if err != nil && len(recs) == 0 {
		return err
	}
	if st.lane.gone || st.behind != from {
		return nil
	}
	for _, r := range recs {
		st.push(r)
	}
	switch {
	case more || err != nil:
		st.behind = recs[len(recs)-1].seq + 1
	case next == 0 && st.last > last:
		st.behind = last + 1
	default:
		st.behind = next
	}
	q.window.trim(st)
	return nil
}

// refillYoung reads up to max young records into recent.
func (st *strand) refillYoung(max int, removed map[uint64]struct{}) {
	var bytes int64
	st.behind = st.youngFrom(st.behind, removed)
	for st.behind != 0 && len(st.recent) < max && bytes < refillBytes {
		y := st.young.list()[st.findYoung(st.behind)]
		bytes += y.size()
		st.push(st.record(y))
		st.behind = st.youngFrom(y.seq+1, removed)
	}
	st.lane.q.window.trim(st)
}

// youngFrom returns the sequence number of the first young record at or above seq that
// was not removed, or 0 if there is none.
func (st *strand) youngFrom(seq uint64, removed map[uint64]struct{}) uint64 {
	for _, y := range st.young.list()[st.findYoung(seq):] {
		if _, hidden := removed[y.seq]; !hidden && !y.gone {
			return y.seq
		}
	}
	return 0
}

// scan reads up to max records of a strand from the database, in [from, last], but those
// that were removed. more says that it stopped at its limit; on an error it returns what
// it had.
func (s *Store) scan(st *strand, from, last uint64, max int, removed map[uint64]struct{}) (recs []Record, more bool, err error) {
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
		if len(removed) > 0 {
			if _, hidden := removed[seqOf(it.Key())]; hidden {
				continue
			}
		}
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
