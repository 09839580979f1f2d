package amqphead

import (
	"errors"
	"sync"

	"sluice/amqp10"
)

// An outbox is what waits for the client's credit on one link, in order. What is
// put in is bounded by who puts it.
type outbox struct {
	mu     sync.Mutex
	sender *amqp10.Sender // nil until the link is attached
	queue  []amqp10.Outgoing
	bytes  int
	closed bool
}

// crowd is how many bytes may wait on one link before what the hub sends of itself
// is no longer taken.
const crowd = 1 << 20

// accept attaches the outbox to a link.
func (o *outbox) accept(r *amqp10.LinkRequest, l *link) {
	s := r.AcceptSender(amqp10.SenderConfig{OnCredit: o.credit, OnClose: l.closed})
	o.attach(s)
	l.attached(s)
}

// attach begins to send what waits.
func (o *outbox) attach(s *amqp10.Sender) { o.update(func() { o.sender = s }) }

// credit is the OnCredit of a link.
func (o *outbox) credit(uint32, bool) { o.update(func() {}) }

// send sends a message now or when there is credit. Its Done, if not nil, is also
// called with the error of a message that cannot be sent; it is not called if the
// outbox is closed before.
func (o *outbox) send(out amqp10.Outgoing) {
	o.update(func() {
		if !o.closed {
			o.queue = append(o.queue, out)
			o.bytes += size(&out)
		}
	})
}

func (o *outbox) update(change func()) {
	o.mu.Lock()
	change()
	failed, err := o.drain()
	o.mu.Unlock()
	for _, done := range failed {
		done(amqp10.Outcome{}, err)
	}
}

// drain sends what there is credit for, and returns who is to be told that a
// message could not be sent. o.mu is held.
func (o *outbox) drain() (failed []func(amqp10.Outcome, error), why error) {
	if o.sender == nil {
		return nil, nil
	}
	for len(o.queue) > 0 {
		next := &o.queue[0]
		err := o.sender.Send(*next)
		if errors.Is(err, amqp10.ErrNoCredit) {
			return failed, why
		}
		if err != nil {
			why = err
			if next.Done != nil {
				failed = append(failed, next.Done)
			}
		}
		o.bytes -= size(next)
		*next = amqp10.Outgoing{}
		o.queue = o.queue[1:]
	}
	o.queue = nil
	return failed, why
}

// size is about what a message keeps in memory.
func size(o *amqp10.Outgoing) int {
	n := 200
	for _, part := range o.Message.Data {
		n += len(part)
	}
	if p := o.Message.Properties; p != nil {
		switch id := p.CorrelationID.(type) {
		case string:
			n += len(id)
		case []byte:
			n += len(id)
		}
	}
	return n
}

// waiting returns how many messages and bytes wait for credit.
func (o *outbox) waiting() (messages, bytes int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.queue), o.bytes
}

// close drops what waits.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed, o.queue, o.bytes = true, nil, 0
}
