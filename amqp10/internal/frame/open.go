package frame

import "sluice/amqp10/internal/wire"

// Opt is a field that may be absent.
type Opt[T any] struct {
	V   T
	Set bool
}

// Some is a field that is present.
func Some[T any](v T) Opt[T] { return Opt[T]{v, true} }

// Or returns the value, or v when the field is absent.
func (o Opt[T]) Or(v T) T {
	if o.Set {
		return o.V
	}
	return v
}

// Open negotiates a connection [AMQP 2.7.1]. Locales are not kept: texts are
// in en-US, which every peer must accept.
type Open struct {
	ContainerID  string
	Hostname     string
	MaxFrameSize Opt[uint32]
	ChannelMax   Opt[uint16]
	IdleTimeout  Opt[uint32] // milliseconds
	Offered      []wire.Symbol
	Desired      []wire.Symbol
	Properties   wire.Fields
}

// Append appends the frame.
func (o *Open) Append(w *wire.Encoder) {
	start := Begin(w, TypeAMQP, 0)
	c := w.Composite(CodeOpen)
	c.Text(true, o.ContainerID)
	c.Text(o.Hostname != "", o.Hostname)
	c.Uint(o.MaxFrameSize.Set, o.MaxFrameSize.V)
	c.Ushort(o.ChannelMax.Set, o.ChannelMax.V)
	c.Uint(o.IdleTimeout.Set, o.IdleTimeout.V)
	c.Symbols(nil)
	c.Symbols(nil)
	c.Symbols(o.Offered)
	c.Symbols(o.Desired)
	c.Fields(o.Properties)
	c.Whole()
	End(w, start)
}

// DecodeOpen reads the fields.
func DecodeOpen(d *wire.Decoder) (o Open) {
	c := d.Composite()
	if c.Must() {
		o.ContainerID = d.Text()
	}
	if c.Next() {
		o.Hostname = d.Text()
	}
	if c.Next() {
		o.MaxFrameSize = Some(d.Uint())
	}
	if c.Next() {
		o.ChannelMax = Some(d.Ushort())
	}
	if c.Next() {
		o.IdleTimeout = Some(d.Uint())
	}
	for range 2 { // locales
		if c.Next() {
			d.Skip()
		}
	}
	if c.Next() {
		o.Offered = d.Symbols()
	}
	if c.Next() {
		o.Desired = d.Symbols()
	}
	if c.Next() {
		o.Properties = wire.DecodePairs[wire.Symbol](d, nil)
	}
	c.End()
	return o
}

// BeginSession starts a session [AMQP 2.7.2].
type BeginSession struct {
	RemoteChannel  Opt[uint16]
	NextOutgoingID uint32
	IncomingWindow uint32
	OutgoingWindow uint32
	HandleMax      Opt[uint32]
	Offered        []wire.Symbol
	Desired        []wire.Symbol
	Properties     wire.Fields
}

// Append appends the frame.
func (b *BeginSession) Append(w *wire.Encoder, channel uint16) {
	start := Begin(w, TypeAMQP, channel)
	c := w.Composite(CodeBegin)
	c.Ushort(b.RemoteChannel.Set, b.RemoteChannel.V)
	c.Uint(true, b.NextOutgoingID)
	c.Uint(true, b.IncomingWindow)
	c.Uint(true, b.OutgoingWindow)
	c.Uint(b.HandleMax.Set, b.HandleMax.V)
	c.Symbols(b.Offered)
	c.Symbols(b.Desired)
	c.Fields(b.Properties)
	c.Whole()
	End(w, start)
}

// DecodeBegin reads the fields.
func DecodeBegin(d *wire.Decoder) (b BeginSession) {
	c := d.Composite()
	if c.Next() {
		b.RemoteChannel = Some(d.Ushort())
	}
	if c.Must() {
		b.NextOutgoingID = d.Uint()
	}
	if c.Must() {
		b.IncomingWindow = d.Uint()
	}
	if c.Must() {
		b.OutgoingWindow = d.Uint()
	}
	if c.Next() {
		b.HandleMax = Some(d.Uint())
	}
	if c.Next() {
		b.Offered = d.Symbols()
	}
	if c.Next() {
		b.Desired = d.Symbols()
	}
	if c.Next() {
		b.Properties = wire.DecodePairs[wire.Symbol](d, nil)
	}
	c.End()
	return b
}

// AppendEnd appends an end [AMQP 2.7.8].
func AppendEnd(w *wire.Encoder, channel uint16, err *Error) { appendLast(w, channel, CodeEnd, err) }

// AppendClose appends a close [AMQP 2.7.9].
func AppendClose(w *wire.Encoder, err *Error) { appendLast(w, 0, CodeClose, err) }

func appendLast(w *wire.Encoder, channel uint16, code uint64, err *Error) {
	start := Begin(w, TypeAMQP, channel)
	c := w.Composite(code)
	err.field(&c, w)
	c.Whole()
	End(w, start)
}

// DecodeLast reads the error of an end or a close.
func DecodeLast(d *wire.Decoder) *Error {
	c := d.Composite()
	err := decodeError(d, &c)
	c.End()
	return err
}
