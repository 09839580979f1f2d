package gateway

import (
	"sync"

	"sluice/internal/gateway/meter"
	"sluice/internal/limit"
	"sluice/internal/presence"
	"sluice/iot"
)

// session is one device or module that is connected to the gateway.
type session struct {
	presence.Seat
	visits bool // it is no connection
	g      *Gateway
	meter  *meter.Meter // set when it has its seat
	pace   *limit.Pace  // of its identity, set with meter; nil without a limit
	down   downlink
	loops  sync.Once // to say that its messages go round
}

var _ iot.Session = (*session)(nil)

func (g *Gateway) newSession() *session {
	s := &session{g: g}
	s.down.s = s
	return s
}

// Close ends the session for the client's reason.
func (s *session) Close() error {
	s.Leave(iot.ErrClosed)
	return nil
}

// left cleans up after a session that has ended.
func (g *Gateway) left(s *session) {
	if !s.visits {
		defer g.disconnected(s)
	}
	s.down.mu.Lock()
	offer, inputs, commands, end := s.down.offer, s.down.inputs, s.down.commands, s.down.end
	s.down.offer = nil
	s.down.mu.Unlock()
	if end != nil {
		end()
	}
	if offer != nil {
		offer.Close()
	}
	if inputs != nil {
		inputs.Close()
	}
	if commands != nil {
		commands.left()
	}
}

func (g *Gateway) disconnected(s *session) {
	g.counts.Disconnected.Add(1)
	g.meters.Of(s.Identity()).Add(meter.Series{Quantity: meter.Disconnects}, 1)
	g.clients.note(s.Identity(), false, g.opt.Now())
}
