package amqp10

import (
	"context"

	"sluice/amqp10/internal/frame"
)

// ReceiverConfig says how a receiver is attached and what it does.
type ReceiverConfig struct {
	// Name identifies the link; empty: one is made up. Not used by
	// AcceptReceiver.
	Name string
	// Source and Target are what we attach with. AcceptReceiver takes the
	// peer's for those that are nil.
	Source *Source
	Target *Target
	// Properties, Offered and Desired go into the attach.
	Properties Fields
	Offered    []Symbol
	Desired    []Symbol
	// SenderMode and ReceiverMode are what we ask of the peer. AcceptReceiver
	// takes what the peer asked for, unless ReceiverMode is set.
	SenderMode   *SenderSettleMode
	ReceiverMode *ReceiverSettleMode
	// MaxMessageSize is the largest message that is accepted, in bytes; 0, or
	// more than Limits.MessageSize: that limit.
	MaxMessageSize uint64
	// Window is how many deliveries may be under way or unsettled: credit is
	// given anew as deliveries are settled. 0: credit is given by IssueCredit.
	Window uint32
	// OnDelivery is called with each delivery. If it is nil, deliveries wait
	// for Receive.
	OnDelivery func(*Delivery)
	// OnClose is called once when the link has ended, with nil if that was
	// without an error. It is not called for a link that never was: refused, or
	// given up by its peer before it was accepted.
	OnClose func(error)
}

// Receiver is a link on which the peer sends.
type Receiver struct {
	*link
	config     ReceiverConfig
	maxMessage int

	// guarded by the connection's mu
	window    uint32
	unsettled int // deliveries that we have not settled
	partial   *Delivery
	queue     []*Delivery // for Receive
}

func (k *ReceiverConfig) link(limit int) *linkConfig {
	if k.MaxMessageSize == 0 || k.MaxMessageSize > uint64(limit) {
		k.MaxMessageSize = uint64(limit)
	}
	lk := &linkConfig{source: k.Source, target: k.Target, properties: k.Properties,
		offered: k.Offered, desired: k.Desired, maxMessage: k.MaxMessageSize}
	if k.SenderMode != nil {
		lk.senderMode = frame.Some(*k.SenderMode)
	}
	if k.ReceiverMode != nil {
		lk.recvMode = frame.Some(*k.ReceiverMode)
	}
	return lk
}

// AcceptReceiver accepts a link whose Role is RoleReceiver, and panics for
// another. If the peer has detached in the meantime, the receiver is one that
// has ended, and OnClose is called all the same.
func (r *LinkRequest) AcceptReceiver(k ReceiverConfig) *Receiver {
	c := r.l.s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	lk := k.link(c.limits.MessageSize)
	rcv := newReceiver(r.l, k)
	if !r.accept(RoleReceiver, lk) {
		rcv.end(r.l.err)
		c.notify()
		return rcv
	}
	r.l.rcv, r.l.agreed = rcv, true
	rcv.topUp()
	return rcv
}

func newReceiver(l *link, k ReceiverConfig) *Receiver {
	return &Receiver{link: l, config: k, maxMessage: int(k.MaxMessageSize), window: k.Window}
}

// AttachReceiver attaches a receiver, and waits for the peer to accept.
func (s *Session) AttachReceiver(ctx context.Context, k ReceiverConfig) (*Receiver, error) {
	if k.Source == nil {
		k.Source = &Source{}
	}
	if k.Target == nil {
		k.Target = &Target{}
	}
	c := s.c
	c.mu.Lock()
	l, err := s.beginLink(k.Name, RoleReceiver)
	if err != nil {
		c.mu.Unlock()
		return nil, err
	}
	lk := k.link(c.limits.MessageSize)
	r := newReceiver(l, k)
	l.rcv = r
	err = l.beginAttach(lk)
	c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if err := s.attach(ctx, l, func() bool { return l.source != nil }); err != nil {
		return nil, err
	}
	return r, nil
}
