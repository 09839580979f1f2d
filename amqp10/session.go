package amqp10

import (
	"context"
	"slices"

	"sluice/amqp10/internal/frame"
	"sluice/amqp10/internal/wire"
)

// Session is a sequence of frames in both directions on which links live
// [AMQP 2.5]. Its fields are guarded by its connection's mu.
type Session struct {
	c       *Conn
	channel uint16 // ours; the peer's is in Conn.remote
	peerCh  uint16
	changed signal
	err     error

	beginSent, beginRcvd, endSent, endRcvd bool
	over                                   bool // end has been called

	// links
	handles   []*link // by our handle; nil where free
	byHandle  map[uint32]*link
	handleMax uint32 // the peer's
	// unanswered counts attaches of ours that were detached before the answer.
	unanswered int
	dirty      bool // in Conn.dirty

	// outgoing [AMQP 2.5.6]
	nextOutgoingID uint32
	remoteWindow   uint32 // transfer frames that the peer can take
	nextDeliveryID uint32
	unsettledOut   table[*outgoing]
	pending        []*outgoing // wait for the window; the first may be half sent

	// incoming
	nextIncomingID uint32
	window         uint32 // transfer frames that we can take
	lastDeliveryID uint32
	anyDelivery    bool
	unsettledIn    table[*Delivery]

	// to be written by the next flush
	settlements []frame.Disposition
	flowDue     bool
	flowLinks   []*link
}

// Conn returns the session's connection.
func (s *Session) Conn() *Conn { return s.c }

// outgoingWindow is what we announce and no peer needs: we send when its own
// incoming window allows.
const outgoingWindow = 1<<31 - 1

// onBegin takes a begin: the peer's own, or its answer to ours.
func (c *Conn) onBegin(channel uint16, d *wire.Decoder) error {
	b := frame.DecodeBegin(d)
	switch {
	case d.Err() != nil:
		return decodeError("begin", d.Err())
	case channel > c.own.ChannelMax.V:
		return Errorf(ErrFraming, "channel %d is above channel-max", channel) // [AMQP 2.7.1]
	case c.remote[channel] != nil:
		return Errorf(ErrIllegalState, "begin: channel %d has a session", channel)
	}
	var s *Session
	if b.RemoteChannel.Set {
		if s = c.begun(b.RemoteChannel.V); s == nil {
			return Errorf(ErrIllegalState, "begin: channel %d has not begun", b.RemoteChannel.V)
		}
	} else if s = c.newSession(); s == nil {
		return Errorf(ErrResourceLimit, "begin: %d sessions are open", c.limits.Sessions)
	}
	if c.remote == nil {
		c.remote = make(map[uint16]*Session)
	}
	c.remote[channel], s.peerCh = s, channel
	s.nextIncomingID, s.remoteWindow = b.NextOutgoingID, b.IncomingWindow
	s.handleMax = b.HandleMax.Or(1<<32 - 1)
	s.beginRcvd = true
	if !s.beginSent {
		s.sendBegin(frame.Some(channel))
	}
	s.changed.fire()
	return nil
}

// begun returns the session that waits for the peer's begin on our channel.
func (c *Conn) begun(channel uint16) *Session {
	if int(channel) >= len(c.local) {
		return nil
	}
	if s := c.local[channel]; s != nil && !s.beginRcvd {
		return s
	}
	return nil
}

// newSession takes the lowest channel that is free, or returns nil.
func (c *Conn) newSession() *Session {
	s := &Session{c: c, window: uint32(c.limits.Window), byHandle: make(map[uint32]*link), handleMax: 1<<32 - 1}
	i := slices.Index(c.local, nil)
	if i < 0 {
		i = len(c.local)
		if i >= c.limits.Sessions || i > int(c.channelMax) {
			return nil
		}
		c.local = append(c.local, nil)
	}
	c.local[i], s.channel = s, uint16(i)
	return s
}

func (s *Session) sendBegin(remote frame.Opt[uint16]) {
	b := frame.BeginSession{RemoteChannel: remote, NextOutgoingID: s.nextOutgoingID, IncomingWindow: s.window,
		OutgoingWindow: outgoingWindow, HandleMax: frame.Some(uint32(max(s.c.limits.Links, 1) - 1))}
	b.Append(s.c.w(), s.channel)
	s.beginSent = true
	s.c.kick()
}

// NewSession begins a session and waits for the peer to agree.
func (c *Conn) NewSession(ctx context.Context) (*Session, error) {
	c.mu.Lock()
	if c.err != nil {
		defer c.mu.Unlock()
		return nil, c.err
	}
	s := c.newSession()
	if s == nil {
		c.mu.Unlock()
		return nil, Errorf(ErrResourceLimit, "no channel is free")
	}
	s.sendBegin(frame.Opt[uint16]{})
	c.mu.Unlock()
	err := c.await(ctx, &s.changed, func() (bool, error) { return s.beginRcvd, s.err })
	if err != nil {
		s.CloseWith(nil)
		return nil, err
	}
	return s, nil
}

// onEnd takes the peer's end.
func (s *Session) onEnd(d *wire.Decoder) error {
	err := frame.DecodeLast(d)
	if d.Err() != nil {
		return decodeError("end", d.Err())
	}
	s.endRcvd = true
	if !s.endSent {
		s.flush()
		s.sendEnd(nil)
	}
	var why error = errSessionEnded
	if err != nil {
		why = err
	}
	s.endLinks(why)
	s.end(why)
	s.release()
	return nil
}

var errSessionEnded = &closedError{"amqp10: session ended"}

// CloseWith ends the session and its links; err may be nil. It returns at once.
func (s *Session) CloseWith(err *Error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.flush()
	s.fail(err)
	s.c.notify()
}

// Close ends the session and waits for the peer's end.
func (s *Session) Close(ctx context.Context) error {
	s.CloseWith(nil)
	return s.c.await(ctx, &s.changed, func() (bool, error) {
		return s.endRcvd || s.c.err != nil, nil
	})
}

// fail ends the session from our side: what the peer still sends on it is
// passed over until its own end.
func (s *Session) fail(err *Error) {
	if s.endSent || s.c.closeSent || s.c.ended {
		return
	}
	s.sendEnd(err)
	var why error = errSessionEnded
	if err != nil {
		why = err
	}
	s.endLinks(why)
	s.end(why)
	s.release()
}

func (s *Session) sendEnd(err *Error) {
	s.c.say(err, func(err *Error) { frame.AppendEnd(s.c.w(), s.channel, err) })
	s.endSent = true
	s.c.kick()
}

// end makes the session's state final.
func (s *Session) end(err error) {
	s.changed.fire()
	if s.over {
		return
	}
	s.over, s.err = true, err
	s.settlements, s.flowLinks, s.flowDue = nil, nil, false
}

// endLinks ends all links, and fails what they had under way.
func (s *Session) endLinks(err error) {
	s.failOutgoing(err)
	for _, l := range s.handles {
		if l != nil {
			l.end(err)
			l.forget()
		}
	}
	for _, l := range s.byHandle {
		l.end(err) // attaches that had no answer yet
		l.forget()
	}
	s.handles, s.byHandle = nil, make(map[uint32]*link)
}

// release frees the channels when both ends are done with them.
func (s *Session) release() {
	if !s.endSent || !s.endRcvd {
		s.changed.fire()
		return
	}
	s.c.local[s.channel] = nil
	delete(s.c.remote, s.peerCh)
	s.changed.fire()
}
