package amqp10

import (
	"sluice/amqp10/internal/frame"
	"sluice/amqp10/internal/wire"
)

// handle takes one frame. What it returns ends the connection. [mu held]
func (c *Conn) handle(h frame.Header, body []byte) error {
	if len(body) == 0 {
		return nil // a heartbeat, on any channel [AMQP 2.4.5]
	}
	d := wire.NewDecoder(body)
	code := frame.Descriptor(&d)
	if d.Err() != nil {
		return decodeError("performative", d.Err())
	}
	if code == frame.CodeClose {
		return c.onClose(&d)
	}
	if c.closeSent {
		return nil // discarding [AMQP 2.4.6]
	}
	switch code {
	case frame.CodeOpen:
		return Errorf(ErrIllegalState, "open: the connection is open")
	case frame.CodeBegin:
		return c.onBegin(h.Channel, &d)
	case frame.CodeAttach, frame.CodeFlow, frame.CodeTransfer, frame.CodeDisposition, frame.CodeDetach, frame.CodeEnd:
		return c.onSession(h.Channel, code, &d)
	}
	return Errorf(ErrDecode, "unknown performative %#x", code)
}

func (c *Conn) onClose(d *wire.Decoder) error {
	err := frame.DecodeLast(d)
	if d.Err() != nil {
		return decodeError("close", d.Err())
	}
	c.closeRcvd = true
	c.setErr(err)
	if !c.closeSent {
		c.flushSessions()
		frame.AppendClose(c.w(), nil)
		c.closeSent = true
		c.kick()
	}
	return nil
}

// onSession takes a frame for a session.
func (c *Conn) onSession(channel uint16, code uint64, d *wire.Decoder) error {
	if channel > c.own.ChannelMax.V {
		return Errorf(ErrFraming, "channel %d is above channel-max", channel) // [AMQP 2.7.1]
	}
	s := c.remote[channel]
	if s == nil {
		return Errorf(ErrIllegalState, "channel %d has no session", channel)
	}
	if code == frame.CodeEnd {
		return s.onEnd(d)
	}
	if s.endSent {
		return nil // discarding [AMQP 2.5.5]
	}
	failure, err := s.handle(code, d)
	if d.Err() != nil {
		return decodeError("performative "+performativeName(code), d.Err())
	}
	if failure != nil {
		s.fail(failure)
	}
	return err
}

// handle takes a frame: the first error that it returns ends the session, the
// second the connection. Neither counts if the decoder has failed.
func (s *Session) handle(code uint64, d *wire.Decoder) (*Error, error) {
	switch code {
	case frame.CodeTransfer:
		if t := frame.DecodeTransfer(d); d.Err() == nil {
			return s.onTransfer(&t, d.Rest()), nil
		}
	case frame.CodeDisposition:
		if p := frame.DecodeDisposition(d); d.Err() == nil {
			return s.onDisposition(&p), nil
		}
	case frame.CodeFlow:
		if f := frame.DecodeFlow(d); d.Err() == nil {
			return s.onFlow(&f), nil
		}
	case frame.CodeAttach:
		if a := frame.DecodeAttach(d); d.Err() == nil {
			return nil, s.onAttach(&a)
		}
	case frame.CodeDetach:
		if t := frame.DecodeDetach(d); d.Err() == nil {
			return s.onDetach(&t), nil
		}
	}
	return nil, nil
}

func performativeName(code uint64) string {
	return [...]string{"attach", "flow", "transfer", "disposition", "detach"}[code-frame.CodeAttach]
}
