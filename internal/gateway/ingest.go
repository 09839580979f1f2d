package gateway

import (
	"errors"
	"slices"
	"time"

	"sluice/internal/gateway/meter"
	"sluice/internal/route"
	"sluice/internal/spool"
	"sluice/iot"
)

// UpstreamQueue is the queue of what goes to the hub: edgeHub's own name for
// that endpoint, so that queue lengths keep their label.
const UpstreamQueue = "iothub"

// Send routes a batch and stores it in the spool, with a record for each endpoint that
// a message goes to: all of it in one atomic write, or nothing. done is called with
// nil when it is fsynced. A message that no route wants, or that has gone round in a
// loop, is done with, in its turn, and counted.
func (s *session) Send(batch []iot.Message, done func(error)) {
	if err := s.Err(); err != nil {
		done(err)
		return
	}
	entries, sums, err := s.entries(batch)
	if err != nil {
		done(err)
		return
	}
	g := s.g
	g.opt.Spool.Append(entries, func(err error) {
		if err != nil {
			s.refused(sums)
			done(storeError(s.Identity(), err))
			return
		}
		s.stored(sums)
		s.acknowledge(len(batch), done)
	})
}

// acknowledge tells the sender that n messages are safe: at once, or, if it sends
// faster than it may, when that many are within its rate. Its head stops reading
// from a sender that has waited for too many, as IoT Hub slows one down.
func (s *session) acknowledge(n int, done func(error)) {
	if s.pace == nil {
		done(nil)
		return
	}
	s.pace.Done(n, func() { done(nil) })
}

// entries makes the records of a batch, and the sums of what is in it.
func (s *session) entries(batch []iot.Message) (entries []spool.Entry, sums []arrivals, err error) {
	entries = make([]spool.Entry, 0, len(batch))
	sizes := make([]float64, 0, 64)
	routing := s.g.routing.Load()
	var room [4]route.Target
	for i := range batch {
		m := &batch[i]
		n := m.Size()
		if n > iot.MaxMessageSize {
			return nil, nil, iot.Errorf(iot.TooLarge, "send", s.Identity(), "message of %d bytes, limit %d", n, iot.MaxMessageSize)
		}
		m.System = slices.Grow(m.System, 3) // for what is noted of it on its way
		m.Stamp(s.Identity())
		forget(m)
		sizes = append(sizes, float64(n))
		sums = countArrival(sums, m)
		if !s.hop(m) {
			sums[len(sums)-1].looped++
			s.looped(m)
			continue
		}
		targets := s.g.match(routing, m, room[:0])
		if len(targets) == 0 {
			sums[len(sums)-1].unrouted++
			continue
		}
		if entries, err = s.g.appendEntries(entries, m, targets, routing); err != nil {
			return nil, nil, err
		}
	}
	s.meter.Observe(meter.Series{Quantity: meter.MessageSize}, sizes...)
	return entries, sums, nil
}

// hubsOwn are system properties that a gateway gives a message, or its own messages
// have, and no client's.
var hubsOwn = [...]iot.SystemName{iot.MessageType, iot.ReporterDeviceID, iot.ReporterModuleID, iot.InputName}

// forget removes what a client cannot say of its message.
func forget(m *iot.Message) {
	for _, name := range hubsOwn {
		m.System.Set(name, "")
	}
}

// match finds where a message goes. Routes may ask whether it is from this device or
// from one below; nobody else is told.
func (g *Gateway) match(r *routing, m *iot.Message, dst []route.Target) []route.Target {
	origin := "downstream"
	if m.Sender().Device == g.opt.Device {
		origin = "internal"
	}
	m.System.Set(iot.EdgeOrigin, origin)
	dst = r.table.AppendMatch(dst, m, route.SourceOf(m))
	m.System.Set(iot.EdgeOrigin, "")
	return dst
}

// appendEntries makes the records of one message, one after the other and with the same
// bytes, which the spool therefore stores once.
func (g *Gateway) appendEntries(entries []spool.Entry, m *iot.Message, targets []route.Target, r *routing) ([]spool.Entry, error) {
	data, err := m.AppendBinary(make([]byte, 0, m.Size()+64))
	if err != nil {
		return nil, err
	}
	sender := m.Sender().String()
	for _, t := range targets {
		e := spool.Entry{Queue: r.queues[t.Endpoint], Priority: uint32(t.Priority), Data: data}
		if t.Endpoint.IsUpstream() {
			e.Lane = sender // a module's input is one lane, in the order of arrival
		}
		e.Expires = g.expiry(r.ttl, t.TTL)
		entries = append(entries, e)
	}
	return entries, nil
}

// expiry is when a message that arrives now has waited long enough: by its route,
// else by the configuration of all; never, if that is negative.
func (g *Gateway) expiry(ttl, own time.Duration) time.Time {
	if own != 0 {
		ttl = own
	}
	if ttl < 0 {
		return time.Time{}
	}
	return g.opt.Now().Add(ttl)
}

// storeError says to the sender what became of a batch that was not stored.
func storeError(id iot.Identity, err error) error {
	kind := iot.Internal
	switch {
	case errors.Is(err, spool.ErrFull):
		kind = iot.Throttled
	case errors.Is(err, spool.ErrNoSpace), errors.Is(err, spool.ErrClosed):
		kind = iot.Unavailable
	}
	return &iot.Error{Kind: kind, Op: "send", Identity: id, Err: err}
}
