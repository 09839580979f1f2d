package frame

import "sluice/amqp10/internal/wire"

// Flow updates the state of a session, and of a link when Handle is set
// [AMQP 2.7.4].
type Flow struct {
	NextIncomingID Opt[uint32]
	IncomingWindow uint32
	NextOutgoingID uint32
	OutgoingWindow uint32
	Handle         Opt[uint32]
	DeliveryCount  Opt[uint32]
	LinkCredit     Opt[uint32]
	Available      Opt[uint32]
	Drain          bool
	Echo           bool
}

// Append appends the frame.
func (f *Flow) Append(w *wire.Encoder, channel uint16) {
	start := Begin(w, TypeAMQP, channel)
	c := w.Composite(CodeFlow)
	c.Uint(f.NextIncomingID.Set, f.NextIncomingID.V)
	c.Uint(true, f.IncomingWindow)
	c.Uint(true, f.NextOutgoingID)
	c.Uint(true, f.OutgoingWindow)
	c.Uint(f.Handle.Set, f.Handle.V)
	c.Uint(f.DeliveryCount.Set, f.DeliveryCount.V)
	c.Uint(f.LinkCredit.Set, f.LinkCredit.V)
	c.Uint(f.Available.Set, f.Available.V)
	c.Bool(f.Drain, true)
	c.Bool(f.Echo, true)
	c.Field(false) // properties
	c.Whole()
	End(w, start)
}

// DecodeFlow reads the fields.
func DecodeFlow(d *wire.Decoder) (f Flow) {
	c := d.Composite()
	if c.Next() {
		f.NextIncomingID = Some(d.Uint())
	}
	if c.Must() {
		f.IncomingWindow = d.Uint()
	}
	if c.Must() {
		f.NextOutgoingID = d.Uint()
	}
	if c.Must() {
		f.OutgoingWindow = d.Uint()
	}
	for _, v := range []*Opt[uint32]{&f.Handle, &f.DeliveryCount, &f.LinkCredit, &f.Available} {
		if c.Next() {
			*v = Some(d.Uint())
		}
	}
	if c.Next() {
		f.Drain = d.Bool()
	}
	if c.Next() {
		f.Echo = d.Bool()
	}
	c.End()
	return f
}

// MaxTag is the longest delivery tag, in bytes [AMQP 2.8.7].
const MaxTag = 32

// Transfer carries a message or a part of one [AMQP 2.7.5]. The payload
// follows the performative.
type Transfer struct {
	Handle       uint32
	DeliveryID   Opt[uint32]
	Tag          []byte // aliases the frame; nil when absent
	Format       Opt[uint32]
	Settled      Opt[bool]
	More         bool
	ReceiverMode Opt[ReceiverSettleMode]
	State        Outcome
	Resume       bool
	Aborted      bool
	Batchable    bool
}

// Append appends the frame up to its payload; End finishes it.
func (t *Transfer) Append(w *wire.Encoder, channel uint16) int {
	start := Begin(w, TypeAMQP, channel)
	c := w.Composite(CodeTransfer)
	c.Uint(true, t.Handle)
	c.Uint(t.DeliveryID.Set, t.DeliveryID.V)
	c.Binary(t.Tag != nil, t.Tag)
	c.Uint(t.Format.Set, t.Format.V)
	c.Bool(t.Settled.Set, t.Settled.V)
	c.Bool(t.More, true)
	c.Ubyte(t.ReceiverMode.Set, uint8(t.ReceiverMode.V))
	t.State.field(&c, w)
	c.Bool(t.Resume, true)
	c.Bool(t.Aborted, true)
	c.Bool(t.Batchable, true)
	c.Whole()
	return start
}

// DecodeTransfer reads the fields; what the decoder has left is the payload.
func DecodeTransfer(d *wire.Decoder) (t Transfer) {
	c := d.Composite()
	if c.Must() {
		t.Handle = d.Uint()
	}
	if c.Next() {
		t.DeliveryID = Some(d.Uint())
	}
	if c.Next() {
		t.Tag = d.Binary()
	}
	if c.Next() {
		t.Format = Some(d.Uint())
	}
	if c.Next() {
		t.Settled = Some(d.Bool())
	}
	if c.Next() {
		t.More = d.Bool()
	}
	if c.Next() {
		t.ReceiverMode = Some(ReceiverSettleMode(atMost(d, d.Ubyte(), 1)))
	}
	t.State = decodeOutcome(d, &c)
	for _, v := range []*bool{&t.Resume, &t.Aborted, &t.Batchable} {
		if c.Next() {
			*v = d.Bool()
		}
	}
	c.End()
	return t
}

// Disposition informs about the state of deliveries [AMQP 2.7.6].
type Disposition struct {
	Role    Role
	First   uint32
	Last    Opt[uint32]
	Settled bool
	State   Outcome
}

// Append appends the frame.
func (p *Disposition) Append(w *wire.Encoder, channel uint16) {
	start := Begin(w, TypeAMQP, channel)
	c := w.Composite(CodeDisposition)
	c.Bool(true, bool(p.Role))
	c.Uint(true, p.First)
	c.Uint(p.Last.Set, p.Last.V)
	c.Bool(p.Settled, true)
	p.State.field(&c, w)
	c.Field(false) // batchable
	c.Whole()
	End(w, start)
}

// DecodeDisposition reads the fields.
func DecodeDisposition(d *wire.Decoder) (p Disposition) {
	c := d.Composite()
	if c.Must() {
		p.Role = Role(d.Bool())
	}
	if c.Must() {
		p.First = d.Uint()
	}
	if c.Next() {
		p.Last = Some(d.Uint())
	}
	if c.Next() {
		p.Settled = d.Bool()
	}
	p.State = decodeOutcome(d, &c)
	if c.Next() { // batchable: a hint that we need not follow
		d.Bool()
	}
	c.End()
	return p
}
