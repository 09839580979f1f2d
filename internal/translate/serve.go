package translate

import (
	"context"
	"errors"
	"time"

	"sluice/internal/spool"
	"sluice/iot"
)

// work serves one leaf after the other while the gateway is there.
func (m *Module) work(ctx context.Context) {
	for m.link.wait(ctx) != nil {
		l := m.ready.next(ctx)
		if l == nil {
			return
		}
		if m.link.wait(ctx) == nil {
			return
		}
		m.serve(ctx, l)
	}
}

// serve does for a leaf what there is to do.
func (m *Module) serve(ctx context.Context, l *leaf) {
	m.mu.Lock()
	l.queued = false
	if l.busy {
		m.mu.Unlock()
		return
	}
	l.busy = true
	open, lease, c := l.open(), l.lease, l.conn
	m.mu.Unlock()
	var err error
	if open {
		err = m.serveOpen(ctx, l, lease)
	} else {
		if c != nil {
			m.drop(l, c)
		}
		if lease != nil {
			m.leftovers(l, lease)
		}
	}
	m.mu.Lock()
	l.busy = false
	if open {
		m.judge(l, err)
	}
	m.consider(l)
	m.mu.Unlock()
}

// serveOpen opens the leaf's session, sends what is kept, and listens for what the
// translator wants. What cannot be listened for does not keep messages from going up.
func (m *Module) serveOpen(ctx context.Context, l *leaf, lease *spool.Lease) error {
	c, err := m.connOf(ctx, l)
	if err != nil {
		return err
	}
	listening := c.listen(ctx)
	if lease == nil {
		return listening
	}
	d := &draining{m: m, l: l, conn: c, lease: lease, results: make(chan sent, batchesAhead)}
	err = d.run(ctx)
	m.giveBack(l, lease)
	return errors.Join(err, listening)
}

// giveBack releases a leaf's lease. If its lane has more, the next one comes.
func (m *Module) giveBack(l *leaf, lease *spool.Lease) {
	m.mu.Lock()
	if l.lease == lease {
		l.lease = nil
	}
	m.mu.Unlock()
	lease.Release(0)
}

// judge decides when a leaf is served again, by how that went. [mu held]
func (m *Module) judge(l *leaf, err error) {
	now := time.Now()
	switch {
	case err == nil:
		l.faults, l.doubts, l.rest, l.refused = 0, 0, time.Time{}, time.Time{}
		return
	case errors.Is(err, errEnding) || errors.Is(err, errRetired) || !l.open():
		return
	}
	l.rest = now.Add(backoff(m.opt.Patience.Retry, m.opt.Patience.RetryLongest, l.faults))
	l.faults++
	if refusal(err) {
		if l.refused.IsZero() {
			l.refused = now
		}
		if m.doubtful(l, now) {
			l.doubts++
			m.opt.Log.Warn("the gateway refuses a registered leaf, which is registered anew", "leaf", l.id, "err", err)
			m.change(l, l.doubted(now), nil)
			return
		}
	}
	// The first may be a gateway that has not heard of the leaf yet.
	if l.faults == 3 || l.faults%10 == 0 {
		m.opt.Log.Warn("a leaf cannot be served; its messages wait", "leaf", l.id, "again", l.rest.Format(time.RFC3339), "err", err)
	}
}

// doubtful reports whether the gateway has refused a leaf for so long that it must
// be registered anew. It is longer for one that was registered just now: of ten
// thousand new devices a gateway learns slowly. [mu held]
func (m *Module) doubtful(l *leaf, now time.Time) bool {
	doubt := m.opt.Patience.Doubt
	return now.Sub(l.refused) >= doubt<<min(l.doubts, 5) && now.Sub(l.Since) >= 6*doubt
}

// refusal reports whether the gateway does not take a leaf for what it is.
func refusal(err error) bool { return iot.KindOf(err) == iot.Unauthorized }

// final reports whether the same message would be refused again.
func final(err error) bool {
	switch iot.KindOf(err) {
	case iot.Invalid, iot.TooLarge:
		return true
	}
	return false
}

// damageRest is how long a lane that cannot be read is left alone.
const damageRest = time.Hour

// leftovers looks at what is kept of a leaf that is refused, disabled or deleted.
// What expired goes. What came after a leaf was deleted is first contact again.
func (m *Module) leftovers(l *leaf, lease *spool.Lease) {
	recs, err := lease.Read(1, 1)
	if err != nil {
		m.opt.Log.Error("kept messages cannot be read", "leaf", l.id, "err", err)
	}
	for len(recs) > 0 && m.settledBefore(l, lease, recs[0]) {
		recs, _ = lease.Read(1, 1)
	}
	m.mu.Lock()
	now := time.Now()
	switch {
	case err != nil:
		l.rest = now.Add(damageRest)
	case len(recs) > 0 && l.State == Deleted:
		m.change(l, l.become(Fresh, "", now), nil)
	case l.State == Refused:
		l.rest = now.Add(m.opt.Patience.Refusal) // to look for what expired
	}
	m.mu.Unlock()
	m.giveBack(l, lease)
}

// settledBefore settles a record that has done all that it can, and reports whether
// it was one: that which retired the leaf, or what a disabled leaf still said.
func (m *Module) settledBefore(l *leaf, lease *spool.Lease, rec spool.Record) bool {
	m.mu.Lock()
	retired, state := rec.Seq() <= l.Retired, l.State
	m.mu.Unlock()
	if !retired && state != Disabled {
		return false
	}
	if k, _, err := decodeRecord(rec.Data); !retired && err == nil && k == hello {
		m.mu.Lock()
		m.change(l, l.spoke(true, time.Now()), nil)
		m.mu.Unlock()
		return false
	}
	if !retired {
		m.counts.dropped.Add(1)
	}
	lease.Ack(rec)
	return true
}

// tidy closes sessions that nobody needs, and forgets leaves of which nothing is to
// be remembered.
func (m *Module) tidy(ctx context.Context) {
	for ctx.Err() == nil {
		pause(ctx, min(tidyEvery, m.opt.Idle))
		m.mu.Lock()
		now := time.Now()
		var idle []*leaf
		for id, l := range m.leaves {
			if l.forgettable(now) {
				delete(m.leaves, id)
				m.ledger.put(change{leaf: l.Leaf, forget: true})
			}
			if l.conn != nil && !l.busy && l.lease == nil && l.conn.idle(now, m.opt.Idle) && !m.wantsService(l) {
				l.busy = true
				idle = append(idle, l)
			}
		}
		m.mu.Unlock()
		for _, l := range idle {
			m.mu.Lock()
			c := l.conn
			m.mu.Unlock()
			if c != nil {
				m.drop(l, c)
			}
			m.mu.Lock()
			l.busy = false
			m.consider(l)
			m.mu.Unlock()
		}
	}
}
