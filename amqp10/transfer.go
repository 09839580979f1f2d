package amqp10

import (
	"bytes"
	"context"

	"sluice/amqp10/internal/frame"
)

// onTransfer takes one frame of a delivery. What it returns ends the session.
func (s *Session) onTransfer(t *frame.Transfer, payload []byte) *Error {
	if s.window == 0 {
		return Errorf(ErrWindowViolation, "transfer: incoming-window is used up")
	}
	s.window--
	s.nextIncomingID++
	if s.window <= uint32(s.c.limits.Window/2) {
		s.flowDue = true
		s.touch()
	}
	l := s.byHandle[t.Handle]
	switch {
	case l == nil:
		return Errorf(ErrUnattachedHandle, "transfer: handle %d", t.Handle)
	case l.key.role == RoleSender:
		return Errorf(ErrNotAllowed, "transfer: handle %d is a link on which we send", t.Handle)
	case l.detachSent:
		// Passed over until the peer's detach; its numbers go on.
		if t.DeliveryID.Set && s.follows(t.DeliveryID.V) {
			s.anyDelivery, s.lastDeliveryID = true, t.DeliveryID.V
		}
		return nil
	case l.rcv == nil:
		l.detach(true, Errorf(ErrTransferLimitExceeded, "transfer: the link has no credit yet"))
		return nil
	case l.rcv.partial == nil:
		return l.rcv.first(t, payload)
	}
	return l.rcv.next(t, payload)
}

// first takes the first frame of a delivery.
func (r *Receiver) first(t *frame.Transfer, payload []byte) *Error {
	s := r.s
	switch {
	case !t.DeliveryID.Set:
		return Errorf(ErrInvalidField, "transfer: delivery-id is missing")
	case t.Tag == nil && !t.Settled.Or(false):
		return Errorf(ErrInvalidField, "transfer: delivery-tag is missing")
	case len(t.Tag) > frame.MaxTag:
		return Errorf(ErrInvalidField, "transfer: delivery-tag of %d bytes", len(t.Tag))
	case !s.follows(t.DeliveryID.V):
		return Errorf(ErrInvalidField, "transfer: delivery-id %d after %d", t.DeliveryID.V, s.lastDeliveryID)
	}
	s.anyDelivery, s.lastDeliveryID = true, t.DeliveryID.V
	switch {
	case r.credit == 0:
		r.detach(true, Errorf(ErrTransferLimitExceeded, "transfer: the link has no credit"))
		return nil
	case t.Resume:
		r.detach(true, Errorf(ErrNotImplemented, "transfer: links are not resumed"))
		return nil
	case t.State.Kind == KindOther:
		r.detach(true, Errorf(ErrNotImplemented, "transfer: transactions"))
		return nil
	}
	r.deliveryCount++
	r.credit--
	if t.Aborted {
		r.topUp()
		return nil
	}
	r.partial = &Delivery{r: r, id: t.DeliveryID.V, tag: bytes.Clone(t.Tag), format: t.Format.Or(0),
		second: r.receiverMode == ReceiveSecond && t.ReceiverMode.Or(ReceiveSecond) == ReceiveSecond}
	r.add(t, payload)
	return nil
}

// follows reports whether a delivery may have this number: more than the last,
// and within reach of the oldest that is not settled [RFC 1982]. Gaps are let
// through: some clients count a delivery of many frames as many.
func (s *Session) follows(id uint32) bool {
	oldest, waits := s.unsettledIn.oldest()
	return (!s.anyDelivery || id-s.lastDeliveryID-1 < 1<<31-1) && (!waits || id-oldest < 1<<31)
}

// next takes a further frame of a delivery.
func (r *Receiver) next(t *frame.Transfer, payload []byte) *Error {
	d := r.partial
	switch {
	case t.DeliveryID.Set && t.DeliveryID.V != d.id:
		return Errorf(ErrInvalidField, "transfer: delivery-id %d inside delivery %d", t.DeliveryID.V, d.id)
	case t.Aborted:
		r.dropPartial()
		r.topUp()
		return nil
	}
	r.add(t, payload)
	return nil
}

// add appends to the delivery that has begun, and hands it on if it is whole.
func (r *Receiver) add(t *frame.Transfer, payload []byte) {
	d, c := r.partial, r.s.c
	switch {
	case len(d.payload)+len(payload) > r.maxMessage:
		r.detach(true, Errorf(ErrMessageSizeExceeded, "message is larger than %d bytes", r.maxMessage))
		return
	case c.partial+len(payload) > max(c.limits.Held, c.limits.MessageSize):
		r.detach(true, Errorf(ErrResourceLimit, "too many messages have begun and not ended"))
		return
	}
	c.partial += len(payload)
	d.payload = append(d.payload, payload...)
	d.settled = d.settled || t.Settled.Or(false) || r.senderMode == SendSettled
	if !t.More {
		r.complete(d)
	}
}

// complete hands a whole delivery to the callback or to Receive.
func (r *Receiver) complete(d *Delivery) {
	c := r.s.c
	r.partial = nil
	c.partial -= len(d.payload)
	c.hold(d)
	r.unsettled++
	if !d.settled {
		r.s.unsettledIn.add(d.id, d)
	}
	if r.config.OnDelivery != nil {
		c.post(event{kind: evDelivery, rcv: r, delivery: d})
		return
	}
	r.queue = append(r.queue, d)
	r.changed.fire()
}

func (r *Receiver) dropPartial() {
	if r.partial != nil {
		r.s.c.partial -= len(r.partial.payload)
		r.partial = nil
	}
}

// forgetDelivery gives back the credit of a delivery that is settled. [mu held]
func (r *Receiver) forgetDelivery(d *Delivery) {
	r.s.unsettledIn.remove(d.id)
	r.unsettled--
	r.topUp()
}

// topUp gives credit for the part of the window that is free, when that is
// at least as much as the peer still has. [mu held]
func (r *Receiver) topUp() {
	if r.window == 0 || r.over || r.drain {
		return
	}
	free := uint32(max(int64(r.window)-int64(r.unsettled), 0))
	if free > r.credit && r.credit <= free/2 {
		r.credit = free
		r.flowSoon()
	}
}

// IssueCredit lets the peer send n deliveries more. It is for receivers
// without a Window.
func (r *Receiver) IssueCredit(n uint32) {
	c := r.s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.over {
		return
	}
	r.credit += min(n, 1<<31-r.credit)
	r.drain = false
	r.topUp()
	r.flowSoon()
}

// Drain asks the peer to send what it has at once, and to give back the credit
// that is left; it waits for that [AMQP 2.6.7]. A receiver with a Window gives
// no credit again before IssueCredit, of 0 for instance.
func (r *Receiver) Drain(ctx context.Context) error {
	c := r.s.c
	c.mu.Lock()
	if !r.over {
		r.drain = true
		r.flowSoon()
	}
	c.mu.Unlock()
	return c.await(ctx, &r.changed, func() (bool, error) {
		if r.over {
			return false, r.err
		}
		return r.credit == 0, nil
	})
}

// onFlow takes the state of the peer's sender.
func (r *Receiver) onFlow(f *frame.Flow) {
	// A drain is over when the sender has advanced its count to the limit of
	// the credit [AMQP 2.6.7]. Only credit that we gave can be used up.
	if ahead := f.DeliveryCount.Or(r.deliveryCount) - r.deliveryCount; ahead > 0 && ahead <= r.credit {
		r.deliveryCount += ahead
		r.credit -= ahead
		r.changed.fire()
		r.topUp()
	}
}

// Receive returns the next delivery of a receiver without OnDelivery. Those
// that have arrived are returned also after the link has ended; then its
// error, or net.ErrClosed.
func (r *Receiver) Receive(ctx context.Context) (*Delivery, error) {
	var d *Delivery
	err := r.s.c.await(ctx, &r.changed, func() (bool, error) {
		if len(r.queue) > 0 {
			d = r.queue[0]
			r.queue = r.queue[1:]
			return true, nil
		}
		if r.over {
			return false, r.err
		}
		return false, nil
	})
	return d, err
}

// end fails what is under way. Deliveries that the handler has, or that wait
// for Receive, count until they are settled: their memory is still in use.
func (r *Receiver) end(err error) {
	r.dropPartial()
	r.s.unsettledIn.all(func(_ uint32, d *Delivery) bool { return d.r != r })
	if r.config.OnClose != nil && r.agreed {
		r.s.c.post(event{kind: evLinkClosed, rcv: r, err: withoutClosed(err)})
	}
}

// withoutClosed is what an OnClose gets: nil for an end without an error.
func withoutClosed(err error) error {
	if _, ok := err.(*closedError); ok {
		return nil
	}
	return err
}
