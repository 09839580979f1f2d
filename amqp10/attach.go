package amqp10

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"sluice/amqp10/internal/frame"
)

// LinkRequest is a link that the peer attaches. It is answered once, with
// AcceptReceiver, AcceptSender or Refuse, from any goroutine; until then the
// link exists and counts, and nothing flows.
type LinkRequest struct {
	Name string
	// Role is ours: RoleReceiver when the peer wants to send.
	Role Role
	// Source and Target are what the peer asks for; nil where it has none.
	Source *Source
	Target *Target
	// Properties, Desired and Offered are the peer's.
	Properties Fields
	Desired    []Symbol
	Offered    []Symbol
	// SenderMode and ReceiverMode are the settlement modes asked for.
	SenderMode   SenderSettleMode
	ReceiverMode ReceiverSettleMode
	// MaxMessageSize is the largest message that the peer takes; 0: no limit.
	MaxMessageSize uint64

	l *link
}

// Address is that of the node at our end: the target's when the peer wants to
// send, the source's when it wants to receive; "" if it names none.
func (r *LinkRequest) Address() string {
	switch {
	case r.Role == RoleReceiver && r.Target != nil:
		return r.Target.Address
	case r.Role == RoleSender && r.Source != nil:
		return r.Source.Address
	}
	return ""
}

// Session returns the session on which the link is.
func (r *LinkRequest) Session() *Session { return r.l.s }

// Conn returns the connection on which the link is.
func (r *LinkRequest) Conn() *Conn { return r.l.s.c }

// Refuse refuses the link with err [AMQP 2.6.3].
func (r *LinkRequest) Refuse(err *Error) {
	if err == nil {
		err = Errorf(ErrNotAllowed, "link refused")
	}
	r.l.CloseWith(err)
}

// onAttach takes an attach: the peer's own, or its answer to ours. What it
// returns ends the connection.
func (s *Session) onAttach(a *frame.Attach) error {
	if a.Handle > uint32(s.c.limits.Links-1) {
		return Errorf(ErrFraming, "attach: handle %d is above handle-max", a.Handle) // [AMQP 2.7.2]
	}
	if s.byHandle[a.Handle] != nil {
		s.fail(Errorf(ErrHandleInUse, "attach: handle %d", a.Handle))
		return nil
	}
	key := linkKey{a.Name, !a.Role}
	if l := s.c.names[key]; l != nil && l.s == s && l.attachSent && !l.attachRcvd {
		l.onAnswer(a)
		return nil
	} else if l != nil {
		// The same link again: it moves here [AMQP 2.6.1].
		l.detach(true, Errorf(ErrStolen, "link %q is attached again", a.Name))
	} else if l := s.abandoned(key); l != nil {
		l.received(a)
		return nil
	}
	l := s.newLink(key)
	if l == nil {
		s.fail(Errorf(ErrResourceLimit, "attach: handles are used up"))
		return nil
	}
	l.received(a)
	switch {
	case s.c.links > s.c.limits.Links:
		l.detach(true, Errorf(ErrResourceLimit, "connection has %d links", s.c.limits.Links))
	case s.c.handler == nil:
		l.detach(true, Errorf(ErrNotAllowed, "this end takes no links"))
	case a.Target != nil && a.Target.Coordinator:
		l.detach(true, Errorf(ErrNotImplemented, "transactions"))
	default:
		s.c.post(event{kind: evAttach, request: l.request()})
	}
	return nil
}

// abandoned returns a link of ours that was detached before the peer's answer,
// which must not be taken for a new link.
func (s *Session) abandoned(key linkKey) *link {
	if s.unanswered == 0 {
		return nil
	}
	for _, l := range s.handles {
		if l != nil && l.key == key && l.detachSent && !l.attachRcvd {
			s.unanswered--
			return l
		}
	}
	return nil
}

// newLink takes the lowest handle that is free, or returns nil. It puts the
// link under its name.
func (s *Session) newLink(key linkKey) *link {
	l := &link{s: s, key: key, counted: true, senderMode: SendMixed}
	i := slices.Index(s.handles, nil)
	if i < 0 {
		i = len(s.handles)
		if uint64(i) > uint64(s.handleMax) {
			return nil
		}
		s.handles = append(s.handles, nil)
	}
	s.handles[i], l.handle = l, uint32(i)
	if s.c.names == nil {
		s.c.names = make(map[linkKey]*link)
	}
	s.c.names[key] = l
	s.c.links++
	return l
}

// received keeps what the peer's attach says.
func (l *link) received(a *frame.Attach) {
	l.attachRcvd = true
	l.peer, l.remoteHandle = *a, a.Handle
	l.s.byHandle[a.Handle] = l
	if l.key.role == RoleReceiver {
		l.deliveryCount = a.InitialDeliveryCount.Or(0)
	}
}

func (l *link) request() *LinkRequest {
	a := &l.peer
	return &LinkRequest{Name: l.key.name, Role: l.key.role, Source: a.Source, Target: a.Target,
		Properties: a.Properties, Desired: a.Desired, Offered: a.Offered,
		SenderMode: a.SenderMode.Or(SendMixed), ReceiverMode: a.ReceiverMode.Or(ReceiveFirst),
		MaxMessageSize: a.MaxMessageSize, l: l}
}

// onAnswer takes the peer's attach in answer to ours.
func (l *link) onAnswer(a *frame.Attach) {
	l.received(a)
	l.source, l.target = a.Source, a.Target
	l.senderMode = a.SenderMode.Or(l.senderMode)
	l.receiverMode = a.ReceiverMode.Or(l.receiverMode)
	if l.rcv != nil && l.source != nil {
		l.rcv.topUp()
	}
	l.changed.fire()
}

// linkConfig is what both configurations of a link have.
type linkConfig struct {
	source     *Source
	target     *Target
	properties Fields
	offered    []Symbol
	desired    []Symbol
	maxMessage uint64
	senderMode frame.Opt[SenderSettleMode]
	recvMode   frame.Opt[ReceiverSettleMode]
}

// sendAttach attaches the link at our end. An error says that what k holds
// cannot be sent, and nothing has been. [mu held]
func (l *link) sendAttach(k *linkConfig) error {
	l.source, l.target = k.source, k.target
	l.senderMode = k.senderMode.Or(SendMixed)
	l.receiverMode = k.recvMode.Or(ReceiveFirst)
	a := frame.Attach{Name: l.key.name, Handle: l.handle, Role: l.key.role, Source: k.source, Target: k.target,
		SenderMode: k.senderMode, ReceiverMode: k.recvMode,
		MaxMessageSize: k.maxMessage, Offered: k.offered, Desired: k.desired, Properties: k.properties}
	if l.key.role == RoleSender {
		a.InitialDeliveryCount = frame.Some(l.deliveryCount)
	}
	start := len(l.s.c.w().B)
	a.Append(l.s.c.w(), l.s.channel)
	if err := l.s.c.kept(start); err != nil {
		return err
	}
	l.attachSent = true
	l.s.c.kick()
	return nil
}

// beginAttach is sendAttach of a link of ours, which an error leaves as if it
// had never been. [mu held]
func (l *link) beginAttach(k *linkConfig) error {
	err := l.sendAttach(k)
	if err != nil {
		l.detachSent, l.detachRcvd = true, true
		l.end(err)
		l.release()
	}
	return err
}

// accept answers the peer's attach. It reports false if the link has ended in
// the meantime.
func (r *LinkRequest) accept(role Role, k *linkConfig) bool {
	l := r.l
	if l.key.role != role {
		panic(fmt.Sprintf("amqp10: link %q accepted as a %v; it is a %v", r.Name, role, l.key.role))
	}
	if l.over || l.attachSent {
		l.agreed = true // too late: the end of it is still to be told
		return false
	}
	if k.source == nil {
		k.source = r.Source
	}
	if k.target == nil {
		k.target = r.Target
	}
	k.senderMode = frame.Some(r.SenderMode)
	if role == RoleSender || !k.recvMode.Set { // the receiver decides [AMQP 2.7.3]
		k.recvMode = frame.Some(r.ReceiverMode)
	}
	if err := l.sendAttach(k); err != nil {
		e := &Error{Condition: ErrInternal, Description: "the answer cannot be sent", Cause: err}
		errors.As(err, &e)
		l.detach(true, e)
		return false
	}
	return true
}

// attach sends our attach and waits for the peer's. A peer that refuses
// answers without the terminus that it would have, and then detaches.
func (s *Session) attach(ctx context.Context, l *link, terminus func() bool) error {
	err := s.c.await(ctx, &l.changed, func() (bool, error) {
		if l.over {
			return false, l.err
		}
		l.agreed = l.attachRcvd && terminus()
		return l.agreed, nil
	})
	if err != nil {
		l.CloseWith(nil)
		return fmt.Errorf("amqp10: attach %q: %w", l.key.name, err)
	}
	return nil
}

// begin makes a link of ours. [mu held]
func (s *Session) beginLink(name string, role Role) (*link, error) {
	c := s.c
	if s.over {
		return nil, s.err
	}
	if name == "" {
		c.nextLinkNo++
		name = fmt.Sprintf("%s-%d", c.own.ContainerID, c.nextLinkNo)
	}
	key := linkKey{name, role}
	switch {
	case c.names[key] != nil:
		return nil, Errorf(ErrNotAllowed, "link %q is attached", name)
	case c.links >= c.limits.Links:
		return nil, Errorf(ErrResourceLimit, "connection has %d links", c.links)
	}
	l := s.newLink(key)
	if l == nil {
		return nil, Errorf(ErrResourceLimit, "the peer's handle-max is %d", s.handleMax)
	}
	return l, nil
}
