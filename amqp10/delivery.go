package amqp10

import (
	"fmt"

	"sluice/amqp10/internal/frame"
)

// Delivery is a message that has arrived. It waits for Settle, and counts
// against Limits.Held until then.
type Delivery struct {
	r       *Receiver
	id      uint32
	tag     []byte
	format  uint32
	payload []byte
	second  bool // our outcome is not final before the sender settles
	settled bool // by the sender

	decided bool // guarded by the connection's mu: Settle has been called
}

// Receiver returns the link on which the delivery arrived.
func (d *Delivery) Receiver() *Receiver { return d.r }

// Payload returns the encoded message. Its bytes are a copy, which the delivery
// does not use again after Settle.
func (d *Delivery) Payload() []byte { return d.payload }

// Format returns the message format: 0, or what the peers agree on, such as
// FormatBatch.
func (d *Delivery) Format() uint32 { return d.format }

// Tag returns the sender's name for the delivery, of at most 32 bytes.
func (d *Delivery) Tag() []byte { return d.tag }

// Settled reports whether the sender has settled the delivery, so that it will
// not hear of the outcome.
func (d *Delivery) Settled() bool {
	c := d.r.s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	return d.settled
}

// Message decodes the payload. Its error is one to reject the delivery with.
func (d *Delivery) Message() (*Message, error) { return DecodeMessage(d.payload) }

// Accept settles with Accepted.
func (d *Delivery) Accept() { d.Settle(Accepted) }

// Reject settles with Rejected: the message is invalid; err may be nil.
func (d *Delivery) Reject(err *Error) { d.Settle(Rejected(err)) }

// Release settles with Released: the message was not and will not be acted on.
func (d *Delivery) Release() { d.Settle(Released) }

// Settle tells the sender the outcome, and gives back the room and the credit
// that the delivery took. It is to be called once for every delivery, also for
// those that the sender sent settled, which hear nothing of it; later calls do
// nothing, as do those after the link has ended. It panics for an outcome that
// is not terminal.
func (d *Delivery) Settle(o Outcome) {
	if o.Kind != None && !o.Terminal() {
		panic(fmt.Sprintf("amqp10: settle with outcome %v", o.Kind))
	}
	c := d.r.s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if d.decided {
		return
	}
	d.decided = true
	c.unhold(d)
	if d.r.over {
		return
	}
	if !d.settled {
		d.r.s.settle(frame.Disposition{Role: RoleReceiver, First: d.id, Settled: !d.second, State: o})
	}
	if d.settled || !d.second {
		d.r.forgetDelivery(d)
	}
}

// hold counts what a delivery takes, until unhold. [mu held]
func (c *Conn) hold(d *Delivery) { c.held += len(d.payload) + perHeld }

func (c *Conn) unhold(d *Delivery) {
	c.held -= len(d.payload) + perHeld
	if c.paused {
		c.space.Broadcast()
	}
}
