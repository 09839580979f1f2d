package amqp10

import "sluice/amqp10/internal/frame"

// onDisposition takes the peer's word on deliveries, ours or its own. It walks
// those that we know of in the range, however wide the range is.
func (s *Session) onDisposition(p *frame.Disposition) *Error {
	last := p.Last.Or(p.First)
	if last-p.First >= 1<<31 {
		return Errorf(ErrInvalidField, "disposition: last %d is before first %d", last, p.First)
	}
	if p.Role == RoleSender {
		s.settledBySender(p, last)
		return nil
	}
	if !p.Settled && !p.State.Terminal() {
		return nil // received, for instance: progress that we do not need
	}
	s.unsettledOut.each(p.First, last, func(id uint32, o *outgoing) bool {
		s.decide(id, o, p)
		return false
	})
	s.c.wakeBlocked()
	return nil
}

// decide ends a delivery of ours with the receiver's outcome.
func (s *Session) decide(id uint32, o *outgoing, p *frame.Disposition) {
	outcome := p.State
	if !outcome.Terminal() && o.snd.source != nil {
		outcome = o.snd.source.DefaultOutcome // [AMQP 3.5.3]
	}
	if !p.Settled {
		// The receiver waits for us to settle [AMQP 2.8.3, second].
		s.settle(frame.Disposition{Role: RoleSender, First: id, Settled: true, State: p.State})
	}
	s.dropPending(o)
	s.c.finished(o, outcome, nil)
}

// settledBySender ends deliveries that wait for their sender to settle, and
// marks those that the handler has not yet decided on.
func (s *Session) settledBySender(p *frame.Disposition, last uint32) {
	if !p.Settled {
		return
	}
	s.unsettledIn.each(p.First, last, func(_ uint32, d *Delivery) bool {
		d.settled = true
		if d.decided {
			d.r.unsettled--
			d.r.topUp()
		}
		return false
	})
}
