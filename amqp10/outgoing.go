package amqp10

import (
	"bytes"
	"encoding/binary"
	"slices"

	"sluice/amqp10/internal/frame"
)

// Outgoing is a message to send.
type Outgoing struct {
	// Message is encoded by Send; if it is nil, Payload is what is sent. Both
	// may be used again as soon as Send has returned.
	Message *Message
	Payload []byte
	// Format is the message format: 0, or such as FormatBatch.
	Format uint32
	// Tag names the delivery, in at most 32 bytes; nil: one is made up.
	Tag []byte
	// Settled sends the message without asking for an outcome, where the
	// link's mode leaves a choice.
	Settled bool
	// Done is called once with the outcome, or with the error that ended the
	// link before there was one. For a message that was sent settled, the
	// outcome is the zero Outcome, and says nothing. It may be nil.
	Done func(Outcome, error)
}

// outgoing is a delivery of ours that is not written whole, or not settled.
type outgoing struct {
	snd     *Sender
	done    func(Outcome, error)
	settled bool
	aborted bool // its end is not to be sent

	// until the first frame is written
	begun  bool
	format uint32
	tag    []byte

	rest []byte // not written yet
}

// transferOverhead is more than a transfer frame has beside its payload.
const transferOverhead = 80

// transmit writes as much of o as the peer's window takes, and reports whether
// that was all. What was settled before o was sent is said before it: Azure's
// client in C does not take the answer to a request that is not accepted yet.
// [mu held]
func (s *Session) transmit(o *outgoing) bool {
	limit := int(s.c.maxOut) - transferOverhead
	if !o.begun {
		s.flushSettlements()
	}
	for s.remoteWindow > 0 {
		w := s.c.room(min(len(o.rest), limit) + transferOverhead)
		t := frame.Transfer{Handle: o.snd.handle, More: len(o.rest) > limit, Aborted: o.aborted}
		if !o.begun {
			s.beginDelivery(o, &t)
		}
		n := min(len(o.rest), limit)
		start := t.Append(w, s.channel)
		w.B = append(w.B, o.rest[:n]...)
		frame.End(w, start)
		s.c.ownOut += len(w.B) - start
		o.rest = o.rest[n:]
		s.remoteWindow--
		s.nextOutgoingID++
		if !t.More {
			return true
		}
	}
	return false
}

// beginDelivery gives o its number, in the order in which deliveries start.
func (s *Session) beginDelivery(o *outgoing, t *frame.Transfer) {
	o.begun = true
	id := s.nextDeliveryID
	s.nextDeliveryID++
	var tag [8]byte
	if o.tag == nil {
		s.c.nextTag++
		o.tag = binary.BigEndian.AppendUint64(tag[:0], s.c.nextTag)
	}
	t.DeliveryID, t.Tag, t.Format = frame.Some(id), o.tag, frame.Some(o.format)
	t.Settled = frame.Some(o.settled)
	o.tag = nil
	if !o.settled {
		s.unsettledOut.add(id, o)
	}
}

// submit writes o, or keeps what the window does not take. [mu held]
func (s *Session) submit(o *outgoing) {
	if len(s.pending) == 0 && s.transmit(o) {
		s.written(o)
		s.c.kick()
		return
	}
	o.rest, o.tag = bytes.Clone(o.rest), bytes.Clone(o.tag)
	s.pending = append(s.pending, o)
	s.c.pending += len(o.rest)
	if !o.begun {
		o.snd.waiting++
	}
	s.c.kick()
}

// pump writes what waits for the peer's window. [mu held]
func (s *Session) pump() {
	for len(s.pending) > 0 && s.remoteWindow > 0 {
		o := s.pending[0]
		if !o.begun {
			o.snd.waiting--
		}
		before := len(o.rest)
		all := s.transmit(o)
		s.c.pending -= before - len(o.rest)
		if !all {
			break
		}
		s.pending[0] = nil
		s.pending = s.pending[1:]
		s.written(o)
	}
	if len(s.pending) == 0 {
		s.pending = nil
	}
	s.c.kick()
}

// written is the end of a delivery that was sent settled.
func (s *Session) written(o *outgoing) {
	o.rest = nil
	if o.settled {
		s.c.finished(o, Outcome{}, nil)
	}
}

// dropPending lets go of what waits of o. If it has begun, it is aborted in its
// turn, so that the peer does not wait for its end.
func (s *Session) dropPending(o *outgoing) {
	i := slices.Index(s.pending, o)
	if i < 0 {
		return
	}
	s.c.pending -= len(o.rest)
	o.rest = nil
	if o.begun {
		o.aborted = true
		return
	}
	o.snd.waiting--
	s.pending = slices.Delete(s.pending, i, i+1)
}

// failOutgoing fails all that is under way, in the order in which it was sent.
// What has begun is in the table; what has not, and what was sent settled, only
// waits. [mu held]
func (s *Session) failOutgoing(err error) {
	s.unsettledOut.all(func(_ uint32, o *outgoing) bool {
		s.c.finished(o, Outcome{}, err)
		return false
	})
	for _, o := range s.pending {
		s.c.pending -= len(o.rest)
		if !o.begun || o.settled {
			s.c.finished(o, Outcome{}, err)
		}
	}
	s.pending = nil
}

// finished posts the end of a delivery of ours. [mu held]
func (c *Conn) finished(o *outgoing, outcome Outcome, err error) {
	if o.done != nil {
		c.post(event{kind: evDone, done: o.done, outcome: outcome, err: err})
	}
}
