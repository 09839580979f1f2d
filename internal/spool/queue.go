package spool

import (
	"container/list"
	"context"
	"sync"
)

// A Queue is a named set of lanes.
type Queue struct {
	store *Store
	name  string

	mu      sync.Mutex
	lanes   map[string]*lane // those that hold a record, or are leased
	ready   readySet         // lanes with something to read that nobody holds
	waiters list.List        // of *waiter; empty unless ready is empty
	window  window
	counts  Counts
	closed  error
}

// A waiter is an Acquire that found no lane.
type waiter struct {
	lease chan *Lease // capacity 1: the one hand-over
}

func newQueue(s *Store, name string) *Queue {
	q := &Queue{store: s, name: name, lanes: make(map[string]*lane)}
	q.window.max = s.opt.WindowBytes
	q.counts.Dead = make(map[string]uint64)
	return q
}

// Name returns the queue's name.
func (q *Queue) Name() string { return q.name }

// Acquire leases a lane that has something to read, that nobody holds and that
// does not rest: the one with the most urgent record; among equals, the one
// that has waited longest. It blocks until there is one, ctx ends, or the store
// is closed ([ErrClosed]) or fails ([*FatalError]).
func (q *Queue) Acquire(ctx context.Context) (*Lease, error) {
	q.mu.Lock()
	if q.closed != nil {
		defer q.mu.Unlock()
		return nil, q.closed
	}
	if ln := q.ready.pop(); ln != nil {
		defer q.mu.Unlock()
		return ln.hold(), nil
	}
	w := &waiter{lease: make(chan *Lease, 1)}
	place := q.waiters.PushBack(w)
	q.mu.Unlock()

	select {
	case l, ok := <-w.lease:
		if !ok {
			return nil, q.closedErr()
		}
		return l, nil
	case <-ctx.Done():
	}
	q.mu.Lock()
	q.waiters.Remove(place)
	q.mu.Unlock()
	select {
	case l, ok := <-w.lease: // handed over as ctx ended
		if ok {
			l.Release(0)
		}
	default:
	}
	return nil, context.Cause(ctx)
}

func (q *Queue) closedErr() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}

// shut makes every Acquire, waiting or to come, return err, and stops the
// timers of resting lanes.
func (q *Queue) shut(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed != nil {
		return
	}
	q.closed = err
	for e := q.waiters.Front(); e != nil; e = e.Next() {
		close(e.Value.(*waiter).lease)
	}
	q.waiters.Init()
	for _, ln := range q.lanes {
		ln.wakeUp()
	}
}

// offer puts a lane where it belongs after anything about it changed. mu is
// held.
func (q *Queue) offer(ln *lane) {
	priority, ok := ln.best()
	switch {
	case ln.lease != nil:
		if ok {
			ln.lease.signal()
		}
		return
	case !ok:
		q.ready.remove(ln)
		q.forget(ln)
		return
	case ln.rest != nil || ln.rewound || q.closed != nil:
		return
	}
	if front := q.waiters.Front(); front != nil {
		q.waiters.Remove(front)
		front.Value.(*waiter).lease <- ln.hold()
		return
	}
	q.ready.put(ln, priority)
}

// forget frees a lane that holds nothing. mu is held.
func (q *Queue) forget(ln *lane) {
	if ln.lease == nil && ln.rest == nil && ln.empty() && q.lanes[ln.name] == ln {
		delete(q.lanes, ln.name)
	}
}

// lane returns the lane of that name, making it if need be. mu is held.
func (q *Queue) lane(name string) *lane {
	ln := q.lanes[name]
	if ln == nil {
		ln = &lane{q: q, name: name}
		q.lanes[name] = ln
	}
	return ln
}

// rested ends a lane's rest, unless it was ended before.
func (q *Queue) rested(ln *lane, rest uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if ln.rest != nil && ln.rests == rest {
		ln.rest = nil
		q.offer(ln)
	}
}

// Purge removes everything that the queue holds, leased records too, and
// returns how many records went. It counts as Purged. It returns when the
// removal is durable.
func (q *Queue) Purge() (records uint64, err error) {
	wait := make(chan error, 1)
	o := &op{purge: q, done: func(err error) { wait <- err }}
	q.store.submit(o)
	err = <-wait
	return o.purged, err
}

// purge removes all that a queue holds: from the database, which has everything by then.
func (s *Store) purge(o *op) {
	s.settle()
	records, bytes, removing := o.purge.clear()
	o.purged = records
	s.commit.limits.used.Add(-bytes)
	s.lookAgain(removing)
	s.seal(o.purge)
	s.await(s.commit.sealed.durable)
}

// clear forgets all lanes after a purge. It returns how many records went, what they
// counted against the store's limit, and how many removals from these lanes are still
// to come.
func (q *Queue) clear() (records uint64, bytes int64, removing int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, ln := range q.lanes {
		records += ln.live().n
		removing += ln.removing
		ln.gone = true
		ln.wakeUp()
		q.ready.remove(ln)
		for _, st := range ln.strands {
			bytes += st.put.minus(st.taken).own()
			st.evict()
		}
	}
	clear(q.lanes)
	q.counts.Purged += records
	return records, bytes, removing
}
