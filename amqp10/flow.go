package amqp10

import (
	"slices"

	"sluice/amqp10/internal/frame"
)

// touch has the session looked at by the next flush. [mu held]
func (s *Session) touch() {
	if !s.dirty && !s.endSent {
		s.dirty = true
		s.c.dirty = append(s.c.dirty, s)
	}
	s.c.kick()
}

// flushSessions turns what has become due into frames. [mu held]
func (c *Conn) flushSessions() {
	for _, s := range c.dirty {
		s.flush()
	}
	c.dirty = c.dirty[:0]
}

func (s *Session) flush() {
	s.dirty = false
	if s.endSent || s.c.closeSent {
		return
	}
	s.flushSettlements()
	for _, l := range s.flowLinks {
		l.flowDue = false
		if !l.detachSent {
			l.sendFlow(false)
			s.flowDue = false
		}
	}
	s.flowLinks = s.flowLinks[:0]
	if s.flowDue {
		s.flowDue = false
		f := s.flow()
		f.Append(s.c.w(), s.channel)
	}
}

// settle queues a disposition. Deliveries that follow each other and share a
// state become one range [AMQP 2.6.12].
func (s *Session) settle(p frame.Disposition) {
	if n := len(s.settlements); n > 0 && joins(&s.settlements[n-1], &p) {
		s.settlements[n-1].Last = frame.Some(p.First)
	} else {
		s.settlements = append(s.settlements, p)
	}
	s.touch()
}

// joins reports whether p, of one delivery, follows the range q.
func joins(q, p *frame.Disposition) bool {
	return q.Role == p.Role && q.Settled == p.Settled && p.First == q.Last.Or(q.First)+1 && q.State.Same(p.State)
}

// flushSettlements writes the ranges, those settled out of order first sorted
// and joined.
func (s *Session) flushSettlements() {
	due := s.settlements
	if len(due) == 0 {
		return
	}
	if len(due) > 1 {
		slices.SortStableFunc(due, compareDispositions)
	}
	run := due[0]
	for i := range due[1:] {
		next := &due[1+i]
		if joins(&run, next) {
			run.Last = frame.Some(next.Last.Or(next.First))
			continue
		}
		s.sayDisposition(&run)
		run = *next
	}
	s.sayDisposition(&run)
	clear(due)
	s.settlements = due[:0]
	if cap(due) > 64 {
		s.settlements = nil
	}
}

// compareDispositions orders by role, then by delivery id as a serial number.
func compareDispositions(a, b frame.Disposition) int {
	switch {
	case a.Role == b.Role:
		return int(int32(a.First - b.First))
	case a.Role == frame.RoleSender:
		return -1
	}
	return 1
}

// flow is the session's part of a flow frame. It renews the incoming window:
// our reader's pace, not the window, is what holds a sender back.
func (s *Session) flow() frame.Flow {
	s.window = uint32(s.c.limits.Window)
	f := frame.Flow{IncomingWindow: s.window, NextOutgoingID: s.nextOutgoingID, OutgoingWindow: outgoingWindow}
	if s.beginRcvd {
		f.NextIncomingID = frame.Some(s.nextIncomingID)
	}
	return f
}

// sendFlow writes the state of a link and its session.
func (l *link) sendFlow(echo bool) {
	f := l.s.flow()
	f.Handle = frame.Some(l.handle)
	// What waits for the session's window has not left yet.
	waiting := uint32(l.waiting)
	f.DeliveryCount = frame.Some(l.deliveryCount - waiting)
	f.LinkCredit = frame.Some(l.credit + waiting)
	f.Drain, f.Echo = l.drain, echo
	if l.snd != nil {
		f.Available = frame.Some(waiting)
	}
	f.Append(l.s.c.w(), l.s.channel)
}

// flowSoon has the link's state sent by the next flush.
func (l *link) flowSoon() {
	if !l.flowDue && l.attachSent && !l.detachSent {
		l.flowDue = true
		l.s.flowLinks = append(l.s.flowLinks, l)
	}
	l.s.touch()
}

// onFlow takes the peer's state of the session, and of one link.
func (s *Session) onFlow(f *frame.Flow) *Error {
	// The peer's window counts from the last transfer that it had seen
	// [AMQP 2.5.6]. One that has not yet had our begin leaves that out, and has
	// seen none; some leave it out always, and mean a window from now on.
	seen := f.NextIncomingID.Or(s.nextOutgoingID)
	s.remoteWindow = uint32(remaining(f.IncomingWindow, s.nextOutgoingID-seen))
	var failure *Error
	if f.Handle.Set {
		failure = s.onLinkFlow(f)
	} else if f.Echo {
		s.flowDue = true
		s.touch()
	}
	s.pump()
	return failure
}

// remaining is what is left of a window or a credit after what the peer had not
// seen when it granted it. A count that lies ahead of ours is the peer's error;
// it then gets what it granted.
func remaining(granted, unseen uint32) int64 {
	if unseen >= 1<<31 {
		unseen = 0
	}
	return max(int64(granted)-int64(unseen), 0)
}

func (s *Session) onLinkFlow(f *frame.Flow) *Error {
	l := s.byHandle[f.Handle.V]
	if l == nil {
		return Errorf(ErrUnattachedHandle, "flow: handle %d", f.Handle.V)
	}
	if l.detachSent {
		return nil
	}
	if l.snd != nil {
		l.snd.onFlow(f)
	} else if l.rcv != nil {
		l.rcv.onFlow(f)
	} else {
		l.early = frame.Some(*f) // the link has not been accepted yet
	}
	if f.Echo {
		l.flowSoon()
	}
	return nil
}
