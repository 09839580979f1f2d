package amqp10

import (
	"fmt"
	"time"

	"sluice/amqp10/internal/frame"
)

// Limits bounds what one connection may use. A zero field takes the default
// given in its comment; a negative one, or one outside the range given, is an
// error from Serve or NewConn.
type Limits struct {
	// Handshake is the time from the first byte to both opens: 10s.
	Handshake time.Duration
	// Write is the time in which a peer must take the next 16 KiB: 10s.
	Write time.Duration
	// Idle is the idle time-out that we announce: 4m, at least 1s. A peer that
	// sends nothing for twice as long is closed [AMQP 2.4.5].
	Idle time.Duration
	// FrameSize is the largest frame that we accept and send, in bytes: 64 KiB,
	// at least 512.
	FrameSize int
	// MessageSize is the largest message that we accept, in bytes: 1 MiB.
	MessageSize int
	// Sessions is how many a connection may have: 16, at most 65536.
	Sessions int
	// Links is how many a connection may have, over all its sessions: 64.
	Links int
	// Window is how many transfer frames a session accepts before it must hear
	// from us: 2048.
	Window int
	// Held is how many bytes of deliveries may wait to be settled by the
	// handler before we stop reading: 4 MiB. One more may come in whole.
	Held int
	// Outgoing is how many bytes may wait for the peer to read: 1 MiB. One
	// message more is taken.
	Outgoing int
	// Unsettled is how many deliveries of ours a session's peer may leave
	// unsettled: 4096.
	Unsettled int
}

// Idle time-outs that a peer may ask of us. Less than the minimum is refused,
// since it would make us send empty frames for their own sake; above the
// maximum we send them more often than we were asked to, for the sake of the
// middleboxes on the way.
const (
	MinPeerIdle  = time.Second
	maxHeartbeat = 5 * time.Minute
)

// perHeld is what a held delivery costs beside its payload.
const perHeld = 256

func (l Limits) withDefaults() (Limits, error) {
	for _, d := range []*time.Duration{&l.Handshake, &l.Write} {
		if *d == 0 {
			*d = 10 * time.Second
		}
	}
	if l.Idle == 0 {
		l.Idle = 4 * time.Minute
	}
	for _, n := range []struct {
		field *int
		value int
	}{
		{&l.FrameSize, 64 << 10}, {&l.MessageSize, 1 << 20}, {&l.Sessions, 16}, {&l.Links, 64},
		{&l.Window, 2048}, {&l.Held, 4 << 20}, {&l.Outgoing, 1 << 20}, {&l.Unsettled, 4096},
	} {
		if *n.field == 0 {
			*n.field = n.value
		}
	}
	return l, l.validate()
}

func (l Limits) validate() error {
	switch {
	case l.Handshake < 0, l.Write < 0:
		return fmt.Errorf("amqp10: limits: negative time")
	case l.Idle < time.Second, l.Idle.Milliseconds() > 1<<32-1:
		return fmt.Errorf("amqp10: limits: idle time-out of %v", l.Idle)
	case l.FrameSize < frame.MinMaxFrameSize, l.FrameSize > 1<<30:
		return fmt.Errorf("amqp10: limits: frame size of %d", l.FrameSize)
	case l.Sessions < 0, l.Sessions > 1<<16:
		return fmt.Errorf("amqp10: limits: %d sessions", l.Sessions)
	case min(l.MessageSize, l.Links, l.Window, l.Held, l.Outgoing, l.Unsettled) < 0:
		return fmt.Errorf("amqp10: limits: a negative field in %+v", l)
	}
	return nil
}
