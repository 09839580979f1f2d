package gateway

import (
	"context"

	"sluice/internal/gateway/meter"
	"sluice/internal/presence"
	"sluice/iot"
)

// session is one device or module that is connected to the gateway.
type session struct {
	presence.Seat
	g     *Gateway
	meter *meter.Meter // set when it has its seat
	down  downlink
	life  context.Context // ends with the session
	leave context.CancelFunc
}

var _ iot.Session = (*session)(nil)

func (g *Gateway) newSession() *session {
	s := &session{g: g}
	s.down.s = s
	s.life, s.leave = context.WithCancel(context.Background())
	return s
}

// Close ends the session for the client's reason.
func (s *session) Close() error {
	s.Leave(iot.ErrClosed)
	return nil
}

// left cleans up after a session that has ended.
func (g *Gateway) left(s *session) {
	g.counts.Disconnected.Add(1)
	g.meters.Of(s.Identity()).Add(meter.Series{Quantity: meter.Disconnects}, 1)
	s.leave()
	s.down.mu.Lock()
	offer, inputs := s.down.offer, s.down.inputs
	s.down.offer = nil
	s.down.mu.Unlock()
	if offer != nil {
		offer.Close()
	}
	if inputs != nil {
		inputs.Close()
	}
	g.clients.note(s.Identity(), false, g.opt.Now())
}
