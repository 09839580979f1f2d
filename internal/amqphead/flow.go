package amqphead

import (
	"context"
	"errors"
	"sync"
	"time"

	"sluice/amqp10"
	"sluice/iot"
)

// A flow is the deliveries on one link: a device's commands, or a module's inputs.
// The hub is granted as many as the client has given credit for and the window has
// room for, so that what the client does not take stays with the hub.
type flow struct {
	member *member
	out    outbox
	sub    iot.Subscription // set before the first grant
	sender *amqp10.Sender   // set before the first grant
	// presettled: the client asked for deliveries that it need not settle.
	presettled bool

	settles     turns[uint64] // each with a key of its own
	settling    context.Context
	stopSettles context.CancelFunc

	mu        sync.Mutex
	ready     bool
	granted   int // and not delivered
	unsettled int // delivered and not settled
	largest   int // bytes of the largest delivery so far
	last      uint64
}

const (
	// maxWindow is how many deliveries may be on their way to one client.
	maxWindow = 64
	// windowBytes is what they may come to, as far as can be known before.
	windowBytes = 1 << 20
	// minWindow holds windowBytes of the largest messages there are.
	minWindow = windowBytes / iot.MaxMessageSize
	// settleWidth is how many deliveries of one link are settled at a time, so
	// that they share what the hub does to make that durable.
	settleWidth = 8
	// settleGrace is how long after the end of a link, or of its connection, the
	// hub may take to settle what the client had settled.
	settleGrace = 3 * time.Second
)

// acceptFlow accepts a link on which an identity receives what it asks the hub for.
func (m *member) acceptFlow(r *amqp10.LinkRequest, l *link, ask func(func(iot.Delivery)) (iot.Subscription, error)) error {
	f := &flow{member: m, presettled: r.SenderMode == amqp10.SendSettled}
	f.settles.width = settleWidth
	f.settling, f.stopSettles = context.WithCancel(m.conn.settling)
	sub, err := ask(f.deliver)
	if err != nil {
		f.stopSettles()
		return err
	}
	f.sub = sub
	l.release = f.close
	f.sender = r.AcceptSender(amqp10.SenderConfig{OnCredit: f.credit, OnClose: l.closed})
	f.out.attach(f.sender)
	l.attached(f.sender)
	f.begin()
	return nil
}

// begin grants the credit that came before the link was complete.
func (f *flow) begin() {
	f.mu.Lock()
	f.ready = true
	f.mu.Unlock()
	f.refill()
}

// credit is the OnCredit of the link. A client that drains wants what there is and
// then nothing: what the hub does not deliver at once is withdrawn. So it is if the
// client takes its credit back, since what it does not get is to stay with the hub.
func (f *flow) credit(n uint32, drain bool) {
	f.out.credit(n, drain)
	f.refill()
	if drain || n == 0 {
		f.withdraw()
	}
}

func (f *flow) withdraw() {
	n := f.sub.Revoke()
	f.mu.Lock()
	f.granted -= n
	f.mu.Unlock()
}

// refill grants what credit and window have room for.
func (f *flow) refill() {
	f.mu.Lock()
	if !f.ready {
		f.mu.Unlock()
		return
	}
	window := minWindow
	if f.largest > 0 {
		window = min(max(windowBytes/f.largest, minWindow), maxWindow)
	}
	waiting, _ := f.out.waiting()
	credit := int(min(f.sender.Credit(), maxWindow)) - waiting
	n := min(credit-f.granted, window-f.granted-f.unsettled)
	if n > 0 {
		f.granted += n
	}
	f.mu.Unlock()
	if n > 0 {
		f.sub.Grant(n)
	}
}

// deliver passes a delivery on to the client.
func (f *flow) deliver(d iot.Delivery) {
	msg := writeDelivery(&d)
	f.mu.Lock()
	f.granted--
	f.unsettled++
	f.last++
	n := f.last
	f.largest = max(f.largest, d.Message.Size())
	f.mu.Unlock()
	f.out.send(amqp10.Outgoing{
		Message: msg,
		Tag:     deliveryTag(d.LockToken, n),
		Done:    func(o amqp10.Outcome, err error) { f.outcome(n, d.LockToken, o, err) },
	})
}

// outcome tells the hub what became of a delivery. If its link has ended, the hub
// learns that from the end of the subscription.
func (f *flow) outcome(n uint64, token string, o amqp10.Outcome, err error) {
	switch {
	case errors.Is(err, &amqp10.Error{Condition: amqp10.ErrMessageSizeExceeded}):
		f.settle(n, token, iot.Reject) // this client can never take it
	case err != nil:
	case o.Kind == amqp10.KindAccepted, o.Kind == amqp10.None && f.presettled:
		f.settle(n, token, iot.Complete)
	case o.Kind == amqp10.KindRejected:
		f.settle(n, token, iot.Reject)
	default:
		f.settle(n, token, iot.Abandon)
	}
}

// settle ends a delivery at the hub, and makes room for another.
func (f *flow) settle(n uint64, token string, outcome iot.Outcome) {
	m := f.member
	f.settles.push(n, func() {
		ctx, cancel := m.conn.operate(f.settling)
		defer cancel()
		if err := m.hub.Settle(ctx, token, outcome); err != nil {
			m.conn.head.log.Info("amqphead: delivery not settled; it may come again", "identity", m.id.String(), "err", err)
		}
		f.mu.Lock()
		f.unsettled--
		f.mu.Unlock()
		f.refill()
	})
}

// close ends the interest in deliveries, after those that the client has settled
// are settled at the hub.
func (f *flow) close() {
	f.mu.Lock()
	f.ready = false
	f.mu.Unlock()
	f.out.close()
	grace := time.AfterFunc(settleGrace, f.stopSettles)
	f.settles.close()
	grace.Stop()
	f.stopSettles()
	f.sub.Close()
}
