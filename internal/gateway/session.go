package gateway

import (
	"context"

	"sluice/internal/presence"
	"sluice/iot"
)

// session is one device or module that is connected to the gateway.
type session struct {
	presence.Seat
	g     *Gateway
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
	s.leave()
	s.down.mu.Lock()
	offer := s.down.offer
	s.down.offer = nil
	s.down.mu.Unlock()
	if offer != nil {
		offer.Close()
	}
}

// Inputs asks for what routes send to a module.
func (s *session) Inputs(func(iot.Delivery)) (iot.Subscription, error) {
	return nil, iot.Errorf(iot.Unavailable, "inputs", s.Identity(), "this gateway has no routes yet")
}
