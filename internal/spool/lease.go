package spool

import (
	"sync"
	"time"
)

// A Lease is the right to read one lane. Its holder may read ahead of what it
// acknowledges, and use the lease from several goroutines. The lease stays
// until Release; after the store is closed or the queue purged it reads nothing
// and settles nothing.
type Lease struct {
	lane *lane
	more chan struct{} // capacity 1: a level, not a count

	readMu sync.Mutex // one Read at a time

	// guarded by Queue.mu
	flight map[uint64]flight // read and not settled, by sequence number
	done   bool
}

// A flight is a record that was handed out.
type flight struct {
	strand *strand
	size   int64
	shared *shared
}

// Lane returns the lane's name.
func (l *Lease) Lane() string { return l.lane.name }

// More returns a channel that receives after a Read when there may be something
// new to read. It is never closed.
func (l *Lease) More() <-chan struct{} { return l.more }

func (l *Lease) signal() {
	select {
	case l.more <- struct{}{}:
	default:
	}
}

// Read returns the records after those that this lease has read: more urgent
// ones first, then in the order of appending. It returns at most max records
// and maxBytes of data, but at least one record if there is one. Expired records
// are removed, counted and not returned. An empty result means that there is
// nothing more for now; [Lease.More] says when to look again.
//
// An error is ErrClosed, or a [*DamagedError]: then the lane cannot be read on,
// and should be released with a delay.
func (l *Lease) Read(max int, maxBytes int) ([]Record, error) {
	l.readMu.Lock()
	defer l.readMu.Unlock()
	var out []Record
	for room := int64(maxBytes); ; {
		batch, behind := l.take(max-len(out), &room, len(out) == 0)
		if out == nil {
			out = batch
		} else {
			out = append(out, batch...)
		}
		if behind == nil || len(out) >= max {
			return out, nil
		}
		if err := behind.refill(refillRecords); err != nil {
			if len(out) > 0 {
				return out, nil // the error will be met again
			}
			return nil, err
		}
	}
}

// take hands out what is in memory. If it stopped at a strand whose next records
// are on disk only, it returns that strand.
func (l *Lease) take(max int, room *int64, first bool) (out []Record, behind *strand) {
	s, q := l.lane.q.store, l.lane.q
	now := s.opt.Now()
	var expired []removal
	q.mu.Lock()
	defer func() {
		q.mu.Unlock()
		s.inbox.remove(expired)
	}()
	if l.done || l.lane.gone {
		return nil, nil
	}
	for len(out) < max {
		st := l.lane.next()
		if st == nil {
			return out, nil
		}
		if len(st.recent) == 0 {
			return out, st
		}
		r := st.recent[0]
		if r.expired(now) {
			st.pop()
			expired = append(expired, r.flight().settle(r.seq, expiredAway))
			continue
		}
		if *room -= int64(len(r.Data)); *room < 0 && !(first && len(out) == 0) {
			return out, nil
		}
		if out == nil {
			out = make([]Record, 0, min(max, len(st.recent)))
		}
		st.pop()
		l.flight[r.seq] = r.flight()
		out = append(out, r)
	}
	return out, nil
}

// Ack settles records as delivered: they are removed, durably within
// [Options.AckDelay] and a sync. Records that this lease has not read, or that
// were settled before, are ignored.
func (l *Lease) Ack(recs ...Record) {
	var room [16]removal // what is settled in small batches should cost no garbage
	gone := room[:0]
	if len(recs) > len(room) {
		gone = make([]removal, 0, len(recs))
	}
	q := l.lane.q
	q.mu.Lock()
	for i := range recs {
		if f, ok := l.settle(recs[i].seq); ok {
			gone = append(gone, f.settle(recs[i].seq, delivered))
		}
	}
	q.mu.Unlock()
	q.store.inbox.remove(gone)
}

// Dead settles a record as never deliverable: in one atomic write it leaves the
// queue and becomes a dead letter. The reason is a short constant word or two,
// by which dead letters are counted.
func (l *Lease) Dead(rec Record, reason string) {
	q := l.lane.q
	q.mu.Lock()
	f, ok := l.settle(rec.seq)
	if !ok {
		q.mu.Unlock()
		return
	}
	gone := f.settle(rec.seq, died)
	q.counts.Dead[reason]++
	q.mu.Unlock()
	gone.letter = &DeadLetter{
		Seq: rec.seq, Queue: q.name, Lane: l.lane.name, Priority: rec.Priority,
		Stored: rec.Stored, Expires: rec.Expires, Died: q.store.opt.Now(),
		Reason: reason, Data: rec.Data,
	}
	q.store.inbox.remove([]removal{gone})
}

// settle takes a record out of the flight. q.mu is held.
func (l *Lease) settle(seq uint64) (flight, bool) {
	f, ok := l.flight[seq]
	delete(l.flight, seq)
	return f, ok && !l.lane.gone
}

// Contended reports whether another lane waits whose next record is at least as
// urgent as this one's. A holder that reads a long backlog should then finish
// what is in flight, and release.
func (l *Lease) Contended() bool {
	q := l.lane.q
	q.mu.Lock()
	defer q.mu.Unlock()
	other, waiting := q.ready.top()
	mine, ok := l.lane.best()
	return waiting && (!ok || other <= mine)
}

// Release gives the lane back. Records that were read and not settled will be
// read again, in order and before those after them. With a positive retryAfter
// the lane rests for that long before anyone can acquire it. Releasing twice
// does nothing.
func (l *Lease) Release(retryAfter time.Duration) {
	q, ln := l.lane.q, l.lane
	q.mu.Lock()
	defer q.mu.Unlock()
	if l.done {
		return
	}
	l.done = true
	ln.lease = nil
	if ln.gone {
		return
	}
	ln.rewind(l.flight)
	l.flight = nil
	if retryAfter > 0 && q.closed == nil {
		ln.sleep(retryAfter)
	}
	q.offer(ln)
}
