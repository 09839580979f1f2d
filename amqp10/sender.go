package amqp10

import (
	"context"
	"errors"
	"slices"
	"sync"

	"sluice/amqp10/internal/frame"
)

// ErrNoCredit is returned by Send when the peer wants nothing now: it has given
// no credit, does not read what was sent before, or leaves too much unsettled.
// OnCredit is called when that has changed.
var ErrNoCredit = errors.New("amqp10: no credit")

// SenderConfig says how a sender is attached and what it does.
type SenderConfig struct {
	// Name identifies the link; empty: one is made up. Not used by
	// AcceptSender.
	Name string
	// Source and Target are what we attach with. AcceptSender takes the
	// peer's for those that are nil.
	Source *Source
	Target *Target
	// Properties, Offered and Desired go into the attach.
	Properties Fields
	Offered    []Symbol
	Desired    []Symbol
	// SenderMode and ReceiverMode are what we ask of the peer. AcceptSender
	// takes what the peer asked for.
	SenderMode   *SenderSettleMode
	ReceiverMode *ReceiverSettleMode
	// OnCredit is called when the peer has given credit, and when Send would
	// succeed again after ErrNoCredit. When drain is set, the peer wants what
	// there is at once: credit that is not used when OnCredit returns is given
	// back. A credit of 0 says that the peer has taken back what it had given.
	OnCredit func(credit uint32, drain bool)
	// OnClose is called once when the link has ended, with nil if that was
	// without an error. It is not called for a link that never was: refused, or
	// given up by its peer before it was accepted.
	OnClose func(error)
}

// Sender is a link on which we send.
type Sender struct {
	*link
	config SenderConfig

	// guarded by the connection's mu
	creditDue bool // an event is queued
	withdrawn bool // the peer has taken its credit back, and OnCredit was not told
	blocked   bool // in Conn.blocked
	waiters   int  // calls of Deliver that wait for credit
}

func (k *SenderConfig) link() *linkConfig {
	lk := &linkConfig{source: k.Source, target: k.Target, properties: k.Properties,
		offered: k.Offered, desired: k.Desired}
	if k.SenderMode != nil {
		lk.senderMode = frame.Some(*k.SenderMode)
	}
	if k.ReceiverMode != nil {
		lk.recvMode = frame.Some(*k.ReceiverMode)
	}
	return lk
}

// AcceptSender accepts a link whose Role is RoleSender, and panics for
// another. If the peer has detached in the meantime, the sender is one that
// has ended, and OnClose is called all the same.
func (r *LinkRequest) AcceptSender(k SenderConfig) *Sender {
	c := r.l.s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	snd := &Sender{link: r.l, config: k}
	if !r.accept(RoleSender, k.link()) {
		snd.end(r.l.err)
		c.notify()
		return snd
	}
	r.l.snd, r.l.agreed = snd, true
	if early := r.l.early; early.Set {
		snd.onFlow(&early.V)
		c.notify()
	}
	return snd
}

// AttachSender attaches a sender, and waits for the peer to accept.
func (s *Session) AttachSender(ctx context.Context, k SenderConfig) (*Sender, error) {
	if k.Source == nil {
		k.Source = &Source{}
	}
	if k.Target == nil {
		k.Target = &Target{}
	}
	c := s.c
	c.mu.Lock()
	l, err := s.beginLink(k.Name, RoleSender)
	if err != nil {
		c.mu.Unlock()
		return nil, err
	}
	snd := &Sender{link: l, config: k}
	l.snd = snd
	err = l.beginAttach(k.link())
	c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if err := s.attach(ctx, l, func() bool { return l.target != nil }); err != nil {
		return nil, err
	}
	return snd, nil
}

// Credit returns how many messages Send would take now. If that is none although
// the peer has given credit, OnCredit is called when it has changed.
func (s *Sender) Credit() uint32 {
	s.s.c.mu.Lock()
	defer s.s.c.mu.Unlock()
	return s.claim()
}

// claim is usable, and has OnCredit called later if the peer's slowness is all
// that is in the way. [mu held]
func (s *Sender) claim() uint32 {
	n := s.usable()
	if n == 0 && s.credit > 0 && !s.over {
		s.block()
	}
	return n
}

// usable is the credit, or 0 while the peer does not keep up. [mu held]
func (s *Sender) usable() uint32 {
	c := s.s.c
	if s.over || c.queued() >= c.limits.Outgoing || s.s.unsettledOut.live >= c.limits.Unsettled {
		return 0
	}
	return s.credit
}

// MaxMessageSize is the largest message that the peer takes, in bytes; 0: no
// limit is known.
func (s *Sender) MaxMessageSize() uint64 {
	s.s.c.mu.Lock()
	defer s.s.c.mu.Unlock()
	return s.peer.MaxMessageSize
}

// Send sends a message if the peer has given credit for it, else it returns
// ErrNoCredit. Other errors are those of the link's end (net.ErrClosed if there
// was none), of a message that cannot be encoded, and
// amqp:link:message-size-exceeded. When it returns nil, o.Done will be called.
func (s *Sender) Send(o Outgoing) error {
	b, free, err := o.encoded()
	if err != nil {
		return err
	}
	defer free()
	c := s.s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	err = s.send(&o, b)
	c.notify()
	return err
}

// Deliver sends a message as soon as the peer gives credit, and waits for its
// outcome. When ctx ends after the message has left, its outcome stays unknown.
func (s *Sender) Deliver(ctx context.Context, o Outgoing) (Outcome, error) {
	b, free, err := o.encoded()
	if err != nil {
		return Outcome{}, err
	}
	type result struct {
		outcome Outcome
		err     error
	}
	results := make(chan result, 1)
	o.Done = func(out Outcome, err error) { results <- result{out, err} }
	err = s.sendWhenPossible(ctx, &o, b)
	free()
	if err != nil {
		return Outcome{}, err
	}
	select {
	case r := <-results:
		return r.outcome, r.err
	case <-ctx.Done():
		return Outcome{}, context.Cause(ctx)
	}
}

func (s *Sender) sendWhenPossible(ctx context.Context, o *Outgoing, b []byte) error {
	c := s.s.c
	c.mu.Lock()
	s.waiters++
	c.mu.Unlock()
	err := c.await(ctx, &s.changed, func() (bool, error) {
		err := s.send(o, b)
		if err == ErrNoCredit {
			return false, nil
		}
		return err == nil, err
	})
	c.mu.Lock()
	s.waiters--
	s.finishDrain()
	c.notify()
	c.mu.Unlock()
	return err
}

// send is Send of an encoded message. [mu held]
func (s *Sender) send(o *Outgoing, b []byte) error {
	switch most := s.peer.MaxMessageSize; {
	case s.over:
		return s.err
	case most != 0 && uint64(len(b)) > most:
		return Errorf(ErrMessageSizeExceeded, "message of %d bytes, limit %d", len(b), most)
	case len(o.Tag) > frame.MaxTag:
		return Errorf(ErrInvalidField, "delivery-tag of %d bytes", len(o.Tag))
	}
	if s.claim() == 0 {
		return ErrNoCredit
	}
	s.credit--
	s.deliveryCount++
	settled := s.senderMode == SendSettled || (o.Settled && s.senderMode == SendMixed)
	s.s.submit(&outgoing{snd: s, done: o.Done, settled: settled, format: o.Format, tag: o.Tag, rest: b})
	return nil
}

var scratch = sync.Pool{New: func() any { return new([]byte) }}

// encoded returns the payload, and what gives its memory back.
func (o *Outgoing) encoded() (b []byte, free func(), err error) {
	if o.Message == nil {
		return o.Payload, func() {}, nil
	}
	p := scratch.Get().(*[]byte)
	b, err = o.Message.AppendTo((*p)[:0])
	if cap(b) <= 64<<10 {
		*p = b[:0]
	}
	return b, func() { scratch.Put(p) }, err
}

// onFlow takes what the peer's receiver wants.
func (s *Sender) onFlow(f *frame.Flow) {
	if f.LinkCredit.Set {
		before := s.credit
		s.credit = uint32(remaining(f.LinkCredit.V, s.deliveryCount-f.DeliveryCount.Or(0)))
		s.withdrawn = s.credit == 0 && (s.withdrawn || before > 0)
	}
	s.drain = f.Drain
	s.offer()
}

// offer has the application told of credit, once. [mu held]
func (s *Sender) offer() {
	s.changed.fire()
	if !s.creditDue && !s.over {
		s.creditDue = true
		s.s.c.post(event{kind: evCredit, snd: s})
	}
}

// offerCredit is the callback of credit.
func (s *Sender) offerCredit() {
	c := s.s.c
	c.mu.Lock()
	s.creditDue = false
	credit, drain, withdrawn := s.claim(), s.drain, s.withdrawn
	s.withdrawn = false
	c.mu.Unlock()
	if s.config.OnCredit != nil && (credit > 0 || withdrawn) {
		s.config.OnCredit(credit, drain)
	}
	c.mu.Lock()
	s.finishDrain()
	c.mu.Unlock()
}

// finishDrain gives back the credit that a draining peer gave and that nobody
// wants to use [AMQP 2.6.7]. [mu held]
func (s *Sender) finishDrain() {
	if !s.drain || s.over || s.creditDue || (s.credit > 0 && (s.waiters > 0 || s.blocked)) {
		return
	}
	s.deliveryCount += s.credit
	s.credit = 0
	s.flowSoon()
}

// block has OnCredit called when the peer has caught up. [mu held]
func (s *Sender) block() {
	if !s.blocked {
		s.blocked = true
		s.s.c.blocked = append(s.s.c.blocked, s)
	}
}

// wakeBlocked offers credit to those that were refused for the peer's
// slowness, when half of what it had before it is done. [mu held]
func (c *Conn) wakeBlocked() {
	if len(c.blocked) == 0 || c.queued() > c.limits.Outgoing/2 {
		return
	}
	c.blocked = slices.DeleteFunc(c.blocked, func(s *Sender) bool {
		if !s.over && s.s.unsettledOut.live > c.limits.Unsettled/2 {
			return false
		}
		s.blocked = false
		s.offer()
		return true
	})
}

// end fails what is under way.
func (s *Sender) end(err error) {
	sess, c := s.s, s.s.c
	c.blocked = slices.DeleteFunc(c.blocked, func(b *Sender) bool { return b == s })
	sess.pending = slices.DeleteFunc(sess.pending, func(o *outgoing) bool {
		if o.snd != s {
			return false
		}
		c.pending -= len(o.rest)
		if !o.begun || o.settled {
			c.finished(o, Outcome{}, err)
		}
		return true
	})
	s.waiting = 0
	sess.unsettledOut.all(func(_ uint32, o *outgoing) bool {
		if o.snd == s {
			c.finished(o, Outcome{}, err)
		}
		return o.snd != s
	})
	if s.config.OnClose != nil && s.agreed {
		c.post(event{kind: evLinkClosed, snd: s, err: withoutClosed(err)})
	}
}
