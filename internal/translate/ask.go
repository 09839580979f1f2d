package translate

import (
	"context"
	"time"

	"sluice/internal/leafwire"
	"sluice/iot"
)

// ask asks the cloud for leaves, one after the other, no faster than it may.
func (m *Module) ask(ctx context.Context) {
	p := pace{each: time.Duration(float64(time.Second) / m.opt.RegisterRate), burst: time.Second}
	for {
		l := m.asking.next(ctx)
		if l == nil {
			return
		}
		pause(ctx, p.next(time.Now()))
		session := m.link.wait(ctx)
		if session == nil {
			return
		}
		m.request(session, l)
	}
}

// request sends the request for a leaf, if it is still wanted.
func (m *Module) request(session iot.Session, l *leaf) {
	m.mu.Lock()
	if !l.asks() || time.Now().Before(l.Due) {
		l.queued = false
		m.consider(l)
		m.mu.Unlock()
		return
	}
	e := leafwire.Event{
		HubHostname: m.opt.Gateway.HubName(), LeafDeviceID: l.id,
		EdgeDeviceID: m.id.Device, EdgeModuleID: m.id.Module, Operation: l.operation(),
	}
	if l.Tries > 0 {
		m.opt.Log.Info("the cloud has not answered; it is asked again", "leaf", l.id, "operation", e.Operation, "tries", l.Tries)
	}
	m.mu.Unlock()
	m.counts.asked.Add(1)
	session.Send([]iot.Message{e.Message()}, func(err error) { m.requested(l, e.Operation, err) })
}

// requested notes that the gateway has, or has not, taken a request over. The
// answer may have come before.
func (m *Module) requested(l *leaf, op leafwire.Operation, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l.queued = false
	switch {
	case !l.asks() || l.operation() != op:
	case err != nil:
		l.Due = time.Now().Add(backoff(m.opt.Patience.Retry, m.opt.Patience.Retry, 0))
	default:
		m.change(l, l.asked(&m.opt.Patience, time.Now()), nil)
	}
	m.consider(l)
}

// A pace spaces events, after a burst of some time's worth.
type pace struct {
	each, burst time.Duration
	due         time.Time
}

// next returns how long to wait before the next event.
func (p *pace) next(now time.Time) time.Duration {
	if early := now.Add(-p.burst); p.due.Before(early) {
		p.due = early
	}
	p.due = p.due.Add(p.each)
	return p.due.Sub(now)
}
