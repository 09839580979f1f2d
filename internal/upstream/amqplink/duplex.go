package amqplink

import (
	"context"
	"errors"
	"sync"

	"sluice/amqp10"
	"sluice/internal/amqpmsg"
	"sluice/iot"
)

// A duplex is a pair of links to and from one node, for methods or the twin.
type duplex struct {
	s        *session
	sender   *amqp10.Sender
	receiver *amqp10.Receiver

	mu     sync.Mutex
	queue  []*amqp10.Message // wait for credit
	closed bool
}

// duplexWindow is how many messages of the hub may wait to be taken.
const duplexWindow = 100

// maxReplies is how many messages may wait for the hub's credit.
const maxReplies = 4096

// duplex attaches a pair. Both links carry the same channel id, by which the hub
// knows that they belong together.
func (s *session) duplex(ctx context.Context, node, channel string, take func(*duplex, *amqp10.Delivery)) (*duplex, error) {
	amqp, err := s.channel()
	if err != nil {
		return nil, err
	}
	d := &duplex{s: s}
	properties := s.link(channel + ":" + amqpmsg.NewUUID().String())
	settled := amqp10.SendSettled
	d.receiver, err = amqp.AttachReceiver(ctx, amqp10.ReceiverConfig{
		Name:       s.linkName(channel + "-receiver"),
		Source:     &amqp10.Source{Address: nodeOf(s.id, node)},
		Target:     &amqp10.Target{Address: s.id.String()},
		Properties: properties,
		SenderMode: &settled,
		Window:     duplexWindow,
		OnDelivery: func(in *amqp10.Delivery) { take(d, in) },
		OnClose:    d.detached,
	})
	if err != nil {
		return nil, err
	}
	sender, err := amqp.AttachSender(ctx, amqp10.SenderConfig{
		Name:       s.linkName(channel + "-sender"),
		Source:     &amqp10.Source{Address: s.id.String()},
		Target:     &amqp10.Target{Address: nodeOf(s.id, node)},
		Properties: properties,
		SenderMode: &settled,
		OnCredit:   func(uint32, bool) { d.flush() },
		OnClose:    d.detached,
	})
	if err != nil {
		d.close()
		return nil, err
	}
	d.mu.Lock()
	d.sender = sender
	d.mu.Unlock()
	d.flush() // replies to what came in the meantime
	return d, nil
}

// detached is the OnClose of both links.
func (d *duplex) detached(err error) {
	d.mu.Lock()
	closed := d.closed
	d.mu.Unlock()
	if !closed {
		d.s.linkClosed(err)
	}
}

// send sends a message now or when there is credit.
func (d *duplex) send(msg *amqp10.Message) error {
	d.mu.Lock()
	switch {
	case d.closed:
		d.mu.Unlock()
		return iot.ErrClosed
	case len(d.queue) >= maxReplies:
		d.mu.Unlock()
		return iot.Errorf(iot.Throttled, "send", d.s.id, "the hub takes nothing, and %d messages wait", maxReplies)
	}
	d.queue = append(d.queue, msg)
	d.mu.Unlock()
	d.flush()
	return nil
}

// flush sends what there is credit for. A message that cannot be sent is dropped:
// whoever waits for its answer gives up in time.
func (d *duplex) flush() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.queue) > 0 && d.sender != nil {
		err := d.sender.Send(amqp10.Outgoing{Message: d.queue[0]})
		if errors.Is(err, amqp10.ErrNoCredit) {
			return
		}
		if err != nil {
			d.s.line.pool.cfg.Log.Warn("amqplink: a message could not be sent", "identity", d.s.id, "err", err)
		}
		d.queue = d.queue[1:]
	}
	d.queue = nil
}

// close detaches both links.
func (d *duplex) close() {
	d.mu.Lock()
	d.closed, d.queue = true, nil
	sender := d.sender
	d.mu.Unlock()
	d.receiver.CloseWith(nil)
	if sender != nil {
		sender.CloseWith(nil)
	}
}
