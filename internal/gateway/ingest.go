package gateway

import (
	"errors"
	"time"

	"sluice/internal/spool"
	"sluice/iot"
)

// UpstreamQueue is the queue of what goes to the hub: edgeHub's own name for
// that endpoint, so that queue lengths keep their label.
const UpstreamQueue = "iothub"

// Send stores a batch in the spool: all of it in one atomic write, or nothing.
// done is called with nil when it is fsynced.
func (s *session) Send(batch []iot.Message, done func(error)) {
	if err := s.Err(); err != nil {
		done(err)
		return
	}
	entries := make([]spool.Entry, 0, len(batch))
	for i := range batch {
		e, err := s.entry(&batch[i])
		if err != nil {
			done(err)
			return
		}
		entries = append(entries, e)
	}
	g := s.g
	g.opt.Spool.Append(entries, func(err error) {
		if err != nil {
			g.counts.Refused.Add(uint64(len(batch)))
			done(storeError(s.Identity(), err))
			return
		}
		g.counts.Received.Add(uint64(len(batch)))
		done(nil)
	})
}

// entry makes the record of a message for the hub, under the sender's lane.
func (s *session) entry(m *iot.Message) (spool.Entry, error) {
	if n := m.Size(); n > iot.MaxMessageSize {
		return spool.Entry{}, iot.Errorf(iot.TooLarge, "send", s.Identity(), "message of %d bytes, limit %d", n, iot.MaxMessageSize)
	}
	m.Stamp(s.Identity())
	data, err := m.AppendBinary(make([]byte, 0, m.Size()+64))
	if err != nil {
		return spool.Entry{}, err
	}
	return spool.Entry{Queue: UpstreamQueue, Lane: s.Identity().String(), Expires: s.g.expiry(), Data: data}, nil
}

// expiry is when a message that arrives now has waited long enough.
func (g *Gateway) expiry() time.Time {
	if g.opt.TTL < 0 {
		return time.Time{}
	}
	return g.opt.Now().Add(g.opt.TTL)
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
