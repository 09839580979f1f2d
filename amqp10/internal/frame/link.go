package frame

import "sluice/amqp10/internal/wire"

// Role says which end of a link a peer is [AMQP 2.8.1].
type Role bool

// The two roles.
const (
	RoleSender   Role = false
	RoleReceiver Role = true
)

// String is the name of the role in the specification.
func (r Role) String() string {
	if r == RoleReceiver {
		return "receiver"
	}
	return "sender"
}

// SenderSettleMode says whether a sender settles what it sends [AMQP 2.8.2].
type SenderSettleMode uint8

// Modes of settlement at the sender. Mixed is the default of the standard.
const (
	SendUnsettled SenderSettleMode = 0
	SendSettled   SenderSettleMode = 1
	SendMixed     SenderSettleMode = 2
)

// ReceiverSettleMode says when a receiver settles [AMQP 2.8.3].
type ReceiverSettleMode uint8

// Modes of settlement at the receiver: first settles as it sends the outcome,
// second waits for the sender to settle.
const (
	ReceiveFirst  ReceiverSettleMode = 0
	ReceiveSecond ReceiverSettleMode = 1
)

// Attach attaches a link to a session [AMQP 2.7.3]. The unsettled map is not
// kept: links are not resumed.
type Attach struct {
	Name                 string
	Handle               uint32
	Role                 Role
	SenderMode           Opt[SenderSettleMode]
	ReceiverMode         Opt[ReceiverSettleMode]
	Source               *Source
	Target               *Target
	InitialDeliveryCount Opt[uint32]
	MaxMessageSize       uint64 // 0: no limit
	Offered              []wire.Symbol
	Desired              []wire.Symbol
	Properties           wire.Fields
}

// Append appends the frame.
func (a *Attach) Append(w *wire.Encoder, channel uint16) {
	start := Begin(w, TypeAMQP, channel)
	c := w.Composite(CodeAttach)
	c.Text(true, a.Name)
	c.Uint(true, a.Handle)
	c.Bool(true, bool(a.Role))
	c.Ubyte(a.SenderMode.Set, uint8(a.SenderMode.V))
	c.Ubyte(a.ReceiverMode.Set, uint8(a.ReceiverMode.V))
	a.Source.field(&c, w)
	a.Target.field(&c, w)
	c.Field(false) // unsettled
	c.Field(false) // incomplete-unsettled
	c.Uint(a.InitialDeliveryCount.Set, a.InitialDeliveryCount.V)
	c.Ulong(a.MaxMessageSize != 0, a.MaxMessageSize)
	c.Symbols(a.Offered)
	c.Symbols(a.Desired)
	c.Field(true)
	w.Fields(a.Properties) // also none: Azure's client for Python adds them to its own
	c.Whole()
	End(w, start)
}

// DecodeAttach reads the fields.
func DecodeAttach(d *wire.Decoder) (a Attach) {
	c := d.Composite()
	if c.Must() {
		a.Name = d.Text()
	}
	if c.Must() {
		a.Handle = d.Uint()
	}
	if c.Must() {
		a.Role = Role(d.Bool())
	}
	if c.Next() {
		a.SenderMode = Some(SenderSettleMode(atMost(d, d.Ubyte(), 2)))
	}
	if c.Next() {
		a.ReceiverMode = Some(ReceiverSettleMode(atMost(d, d.Ubyte(), 1)))
	}
	a.Source = decodeSource(d, &c)
	a.Target = decodeTarget(d, &c)
	for range 2 { // unsettled, incomplete-unsettled
		if c.Next() {
			d.Skip()
		}
	}
	if c.Next() {
		a.InitialDeliveryCount = Some(d.Uint())
	}
	if c.Next() {
		a.MaxMessageSize = d.Ulong()
	}
	if c.Next() {
		a.Offered = d.Symbols()
	}
	if c.Next() {
		a.Desired = d.Symbols()
	}
	if c.Next() {
		if p := wire.DecodePairs[wire.Symbol](d, nil); len(p) > 0 {
			a.Properties = p
		}
	}
	c.End()
	return a
}

// atMost refuses a value outside a restricted type's choices.
func atMost(d *wire.Decoder, v, limit uint8) uint8 {
	if v > limit {
		d.Fail(wire.ErrType)
		return 0
	}
	return v
}

// Detach detaches a link [AMQP 2.7.7].
type Detach struct {
	Handle uint32
	Closed bool
	Error  *Error
}

// Append appends the frame.
func (t *Detach) Append(w *wire.Encoder, channel uint16) {
	start := Begin(w, TypeAMQP, channel)
	c := w.Composite(CodeDetach)
	c.Uint(true, t.Handle)
	c.Bool(t.Closed, true)
	t.Error.field(&c, w)
	c.Whole()
	End(w, start)
}

// DecodeDetach reads the fields.
func DecodeDetach(d *wire.Decoder) (t Detach) {
	c := d.Composite()
	if c.Must() {
		t.Handle = d.Uint()
	}
	if c.Next() {
		t.Closed = d.Bool()
	}
	t.Error = decodeError(d, &c)
	c.End()
	return t
}
