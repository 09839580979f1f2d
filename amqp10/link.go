package amqp10

import (
	"context"
	"fmt"

	"sluice/amqp10/internal/frame"
)

// linkKey is what makes a link the same as another: its name and its direction
// [AMQP 2.6.1]; the containers at its ends are those of the connection.
type linkKey struct {
	name string
	role Role
}

// link is what senders and receivers have in common. Its fields are guarded by
// the connection's mu, but for those that never change after the attach.
type link struct {
	s   *Session
	key linkKey // role is ours
	snd *Sender // one of the two is set when the link is accepted
	rcv *Receiver

	handle       uint32 // ours
	remoteHandle uint32
	attachSent   bool
	attachRcvd   bool
	detachSent   bool
	detachRcvd   bool
	agreed       bool // both ends have attached, and OnClose is due at the end
	over         bool // end has been called
	counted      bool // in Conn.links
	err          error
	changed      signal

	senderMode   SenderSettleMode
	receiverMode ReceiverSettleMode
	source       *Source
	target       *Target
	peer         frame.Attach // as the peer sent it
	early        frame.Opt[frame.Flow]

	deliveryCount uint32
	credit        uint32
	drain         bool
	flowDue       bool
	waiting       int // deliveries of ours that wait for the session's window
}

// Name returns the link's name.
func (l *link) Name() string { return l.key.name }

// String names the link in logs.
func (l *link) String() string { return fmt.Sprintf("%v %q", l.key.role, l.key.name) }

// Session returns the link's session.
func (l *link) Session() *Session { return l.s }

// Conn returns the link's connection.
func (l *link) Conn() *Conn { return l.s.c }

// Source returns the source as agreed. At the end that attached first, that is
// the peer's answer, with the address of a dynamic node.
func (l *link) Source() *Source { return l.source }

// Target returns the target as agreed.
func (l *link) Target() *Target { return l.target }

// Properties returns the properties that the peer gave the link.
func (l *link) Properties() Fields { return l.peer.Properties }

// Offered returns the capabilities that the peer offers.
func (l *link) Offered() []Symbol { return l.peer.Offered }

// Err returns why the link has ended; nil while it lives, and after an end
// without an error.
func (l *link) Err() error {
	l.s.c.mu.Lock()
	defer l.s.c.mu.Unlock()
	if l.err == errLinkClosed || l.err == errSessionEnded || l.err == errClosed {
		return nil
	}
	return l.err
}

var errLinkClosed = &closedError{"amqp10: link detached"}

// CloseWith detaches and closes the link; err may be nil. It returns at once.
func (l *link) CloseWith(err *Error) {
	l.s.c.mu.Lock()
	defer l.s.c.mu.Unlock()
	l.detach(true, err)
	l.s.c.notify()
}

// Detach detaches the link without closing its terminus [AMQP 2.6.5].
func (l *link) Detach(err *Error) {
	l.s.c.mu.Lock()
	defer l.s.c.mu.Unlock()
	l.detach(false, err)
	l.s.c.notify()
}

// Close closes the link and waits for the peer's detach.
func (l *link) Close(ctx context.Context) error {
	l.CloseWith(nil)
	return l.s.c.await(ctx, &l.changed, func() (bool, error) {
		return l.detachRcvd || l.s.over || l.s.c.err != nil, nil
	})
}

// detach sends a detach, once, and ends the link. Until the peer's own detach,
// what it sends on the link is passed over. [mu held]
func (l *link) detach(closed bool, err *Error) {
	if l.detachSent || l.s.endSent || l.s.c.closeSent || l.s.c.ended || l.over {
		return
	}
	if !l.attachSent {
		l.refuseAttach()
	}
	l.s.flush()
	l.s.c.say(err, func(err *Error) {
		t := frame.Detach{Handle: l.handle, Closed: closed, Error: err}
		t.Append(l.s.c.w(), l.s.channel)
	})
	l.detachSent = true
	if !l.attachRcvd {
		l.s.unanswered++
	}
	l.s.c.kick()
	var why error = errLinkClosed
	if err != nil {
		why = err
	}
	l.end(why)
	l.release()
}

// refuseAttach answers an attach in the form that says it will be refused: the
// terminus that we would have is missing [AMQP 2.6.3].
func (l *link) refuseAttach() {
	a := frame.Attach{Name: l.key.name, Handle: l.handle, Role: l.key.role, Source: l.peer.Source, Target: l.peer.Target}
	if l.key.role == RoleReceiver {
		a.Target = nil
	} else {
		a.Source = nil
		a.InitialDeliveryCount = frame.Some(uint32(0))
	}
	start := len(l.s.c.w().B)
	a.Append(l.s.c.w(), l.s.channel)
	if l.s.c.kept(start) != nil { // the peer's own termini are too long for it
		a.Source, a.Target = nil, nil
		a.Append(l.s.c.w(), l.s.channel)
	}
	l.attachSent = true
}

// end makes the link's state final, and fails what it had under way.
func (l *link) end(err error) {
	l.changed.fire()
	if l.over {
		return
	}
	l.over, l.err = true, err
	c := l.s.c
	if c.names[l.key] == l {
		delete(c.names, l.key)
	}
	if l.snd != nil {
		l.snd.end(err)
	}
	if l.rcv != nil {
		l.rcv.end(err)
	}
}

// forget gives back the link's share of the connection's links, once.
func (l *link) forget() {
	if l.counted {
		l.counted = false
		l.s.c.links--
	}
}

// release frees the handles when both ends are done with them.
func (l *link) release() {
	if !l.detachSent || !l.detachRcvd {
		return
	}
	s := l.s
	s.handles[l.handle] = nil
	if s.byHandle[l.remoteHandle] == l {
		delete(s.byHandle, l.remoteHandle)
	}
	l.forget()
}

// onDetach takes the peer's detach.
func (s *Session) onDetach(t *frame.Detach) *Error {
	l := s.byHandle[t.Handle]
	if l == nil || l.detachRcvd {
		return Errorf(ErrUnattachedHandle, "detach: handle %d", t.Handle)
	}
	l.detachRcvd = true
	if l.over {
		l.release()
		l.changed.fire()
		return nil
	}
	var why error = errLinkClosed
	if t.Error != nil {
		why = t.Error
	}
	if !l.attachSent {
		l.refuseAttach()
	}
	s.flush()
	answer := frame.Detach{Handle: l.handle, Closed: t.Closed}
	answer.Append(s.c.w(), s.channel)
	l.detachSent = true
	s.c.kick()
	l.end(why)
	l.release()
	return nil
}
