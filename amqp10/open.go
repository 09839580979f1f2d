package amqp10

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"sluice/amqp10/internal/frame"
	"sluice/amqp10/internal/wire"
)

// maxSASLFrame is the largest SASL frame that is accepted. The specification
// allows 512 bytes [AMQP 5.3.1]; tokens as passwords are longer.
const maxSASLFrame = 16 << 10

// errProtocol is what a peer that begins with something else gets: our header,
// and the end of the connection [AMQP 2.2].
var errProtocol = errors.New("amqp10: the peer does not speak AMQP 1.0")

// handshake runs f, which exchanges headers, SASL and opens, within the time
// of the limits. It is the only time when the reader writes.
func (c *Conn) handshake(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.limits.Handshake, errHandshakeTime)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = c.nc.SetDeadline(time.Unix(1, 0)) })
	err := c.guarded(ctx, f)
	if !stop() {
		err = context.Cause(ctx) // the deadline has come, also if all went well
	}
	if err != nil {
		return fmt.Errorf("amqp10: handshake: %w", err)
	}
	return nil
}

// guarded is the handshake with its callbacks' panics turned into errors.
func (c *Conn) guarded(ctx context.Context, f func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			c.logPanic(p)
			err = Errorf(ErrInternal, "internal error")
		}
	}()
	if err := c.secure(ctx); err != nil {
		return err
	}
	return f(ctx)
}

var errHandshakeTime = errors.New("took too long")

// secure finishes the TLS handshake, so that its state can be judged.
func (c *Conn) secure(ctx context.Context) error {
	if t, ok := c.nc.(interface{ HandshakeContext(context.Context) error }); ok {
		return t.HandshakeContext(ctx)
	}
	return nil
}

// flushNow writes what has been appended, during the handshake.
func (c *Conn) flushNow() error {
	if err := c.out.Err(); err != nil {
		return err
	}
	_, err := c.nc.Write(c.out.B)
	c.out.B = c.out.B[:0]
	return err
}

func (c *Conn) appendHeader(proto string) {
	w := c.w()
	w.B = append(w.B, proto...)
}

// startOpen fills in our open.
func (c *Conn) startOpen(id, hostname string, offered, desired []Symbol, properties Fields) {
	c.own = frame.Open{ContainerID: id, Hostname: hostname, MaxFrameSize: frame.Some(uint32(c.limits.FrameSize)),
		ChannelMax:  frame.Some(uint16(max(c.limits.Sessions, 1) - 1)),
		IdleTimeout: frame.Some(uint32(c.limits.Idle.Milliseconds())),
		Offered:     offered, Desired: desired, Properties: properties}
}

// readOpen takes the peer's open, which must be its first frame.
func (c *Conn) readOpen() error {
	for {
		h, body, err := c.rd.next(uint32(c.limits.FrameSize), frame.TypeAMQP)
		if err != nil {
			return framingError(err)
		}
		if len(body) == 0 {
			continue // a peer may beat before it opens
		}
		d := wire.NewDecoder(body)
		switch code := frame.Descriptor(&d); {
		case d.Err() != nil:
			return decodeError("performative", d.Err())
		case code == frame.CodeClose:
			return c.closedEarly(&d)
		case code != frame.CodeOpen, h.Channel != 0:
			return Errorf(ErrIllegalState, "the first frame is not an open on channel 0")
		}
		o := frame.DecodeOpen(&d)
		if d.Err() != nil {
			return decodeError("open", d.Err())
		}
		return c.onOpen(&o)
	}
}

// closedEarly is a close before the open: not by the letter, but it says why.
func (c *Conn) closedEarly(d *wire.Decoder) error {
	if err := frame.DecodeLast(d); d.Err() == nil && err != nil {
		return err
	}
	return io.ErrUnexpectedEOF
}

// onOpen takes over what the peer asks for.
func (c *Conn) onOpen(o *frame.Open) error {
	size := o.MaxFrameSize.Or(1<<32 - 1)
	idle := time.Duration(o.IdleTimeout.Or(0)) * time.Millisecond
	switch {
	case size < frame.MinMaxFrameSize:
		return Errorf(ErrInvalidField, "open: max-frame-size %d is below %d", size, frame.MinMaxFrameSize)
	case idle > 0 && idle < MinPeerIdle:
		return Errorf(ErrInvalidField, "open: idle-time-out %v is below %v", idle, MinPeerIdle)
	}
	c.peer = Peer{ContainerID: o.ContainerID, Hostname: o.Hostname, MaxFrameSize: size,
		ChannelMax: o.ChannelMax.Or(1<<16 - 1), IdleTimeout: idle,
		Offered: o.Offered, Desired: o.Desired, Properties: o.Properties}
	c.maxOut = min(size, uint32(c.limits.FrameSize))
	c.channelMax = min(c.peer.ChannelMax, c.own.ChannelMax.V)
	c.beat = heartbeat(idle)
	return nil
}

// start lets the writer and the timer run: the handshake is over.
func (c *Conn) start() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.async = true
	c.startTimer()
	c.kick()
}
