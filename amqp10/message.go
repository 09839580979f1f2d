package amqp10

import (
	"fmt"
	"time"

	"sluice/amqp10/internal/frame"
	"sluice/amqp10/internal/wire"
)

// Message is a message with all its sections [AMQP 3.2]. The body is Data,
// Sequence or Value, whichever is there; a message with none of them has an
// amqp-value of null.
//
// A decoded message aliases the bytes that it was decoded from: Data, and
// binary values. Its texts are copies, shared per section.
type Message struct {
	Header                *Header
	DeliveryAnnotations   Fields
	Annotations           Fields // message-annotations
	Properties            *Properties
	ApplicationProperties ApplicationProperties
	Data                  [][]byte
	Sequence              [][]any
	Value                 any
	Footer                Fields

	// Room for what nearly every message has, so that it costs no allocation.
	data [1][]byte
}

// Header is how a message is to be carried [AMQP 3.2.1].
type Header struct {
	Durable       bool
	Priority      uint8         // 4 is normal
	TTL           time.Duration // milliseconds on the wire; 0: none
	FirstAcquirer bool
	DeliveryCount uint32 // unsuccessful attempts so far
}

// Properties are set by the sender and never changed [AMQP 3.2.4]. Empty
// fields are left out of the encoding.
type Properties struct {
	MessageID       any // uint64, UUID, []byte or string
	UserID          []byte
	To              string
	Subject         string
	ReplyTo         string
	CorrelationID   any // as MessageID
	ContentType     Symbol
	ContentEncoding Symbol
	AbsoluteExpiry  time.Time
	CreationTime    time.Time
	GroupID         string
	GroupSequence   uint32 // sent only with a GroupID
	ReplyToGroupID  string
}

// normalPriority is what a message without a priority has.
const normalPriority = 4

// NewMessage returns a message with one data section.
func NewMessage(data []byte) *Message {
	m := new(Message)
	m.SetData(data)
	return m
}

// SetData makes data the message's body, as one data section.
func (m *Message) SetData(data []byte) {
	m.data[0] = data
	m.Data = m.data[:]
}

// AppendTo appends the encoded message to b. It allocates nothing if b has
// room.
func (m *Message) AppendTo(b []byte) ([]byte, error) {
	e := wire.Encoder{B: b}
	m.encode(&e)
	if err := e.Err(); err != nil {
		return b, fmt.Errorf("amqp10: encode message: %w", err)
	}
	return e.B, nil
}

func (m *Message) encode(e *wire.Encoder) {
	if m.Header != nil {
		m.Header.encode(e)
	}
	appendSection(e, frame.CodeDeliveryAnnotations, m.DeliveryAnnotations)
	appendSection(e, frame.CodeMessageAnnotations, m.Annotations)
	if m.Properties != nil {
		m.Properties.encode(e)
	}
	if len(m.ApplicationProperties) > 0 {
		e.Descriptor(frame.CodeApplicationProperties)
		e.Properties(m.ApplicationProperties)
	}
	m.encodeBody(e)
	appendSection(e, frame.CodeFooter, m.Footer)
}

func appendSection(e *wire.Encoder, code uint64, f Fields) {
	if len(f) > 0 {
		e.Descriptor(code)
		e.Fields(f)
	}
}

func (m *Message) encodeBody(e *wire.Encoder) {
	for _, d := range m.Data {
		e.Descriptor(frame.CodeData)
		e.Binary(d)
	}
	for _, s := range m.Sequence {
		e.Descriptor(frame.CodeSequence)
		e.List(s)
	}
	if len(m.Data) == 0 && len(m.Sequence) == 0 {
		e.Descriptor(frame.CodeValue)
		e.Value(m.Value)
	}
}

func (h *Header) encode(e *wire.Encoder) {
	c := e.Composite(frame.CodeHeader)
	c.Bool(h.Durable, true)
	c.Ubyte(h.Priority != normalPriority, h.Priority)
	c.Uint(h.TTL > 0, uint32(min(h.TTL.Milliseconds(), 1<<32-1)))
	c.Bool(h.FirstAcquirer, true)
	c.Uint(h.DeliveryCount != 0, h.DeliveryCount)
	c.End()
}

func (p *Properties) encode(e *wire.Encoder) {
	c := e.Composite(frame.CodeProperties)
	c.Value(p.MessageID)
	c.Binary(p.UserID != nil, p.UserID)
	c.Text(p.To != "", p.To)
	c.Text(p.Subject != "", p.Subject)
	c.Text(p.ReplyTo != "", p.ReplyTo)
	c.Value(p.CorrelationID)
	c.Symbol(p.ContentType)
	c.Symbol(p.ContentEncoding)
	c.Time(!p.AbsoluteExpiry.IsZero(), p.AbsoluteExpiry)
	c.Time(!p.CreationTime.IsZero(), p.CreationTime)
	c.Text(p.GroupID != "", p.GroupID)
	c.Uint(p.GroupID != "", p.GroupSequence)
	c.Text(p.ReplyToGroupID != "", p.ReplyToGroupID)
	c.End()
}

// DecodeMessage decodes the payload of a delivery, which the message aliases.
// Its error is one for the peer: amqp:decode-error.
func DecodeMessage(payload []byte) (*Message, error) {
	m := new(Message)
	if err := m.decode(payload); err != nil {
		return nil, err
	}
	return m, nil
}

func (m *Message) decode(payload []byte) error {
	d := wire.NewDecoder(payload)
	last := uint64(0)
	for d.Len() > 0 && d.Err() == nil {
		code := frame.Descriptor(&d)
		if d.Err() == nil && !sectionMayFollow(last, code) {
			return Errorf(ErrDecode, "message: section %#x after %#x", code, last)
		}
		m.section(&d, code)
		last = code
	}
	if d.Err() != nil {
		return Errorf(ErrDecode, "message: section %#x at byte %d: %v", last, d.Offset(), d.Err())
	}
	return nil
}

// sectionMayFollow holds the order of [AMQP 3.2]: ascending codes, of which
// only data and sequence repeat, and one kind of body.
func sectionMayFollow(last, code uint64) bool {
	if code == last {
		return code == frame.CodeData || code == frame.CodeSequence
	}
	lastIsBody := last >= frame.CodeData && last <= frame.CodeValue
	codeIsBody := code >= frame.CodeData && code <= frame.CodeValue
	return code > last && code >= frame.CodeHeader && code <= frame.CodeFooter && !(lastIsBody && codeIsBody)
}

func (m *Message) section(d *wire.Decoder, code uint64) {
	if code < frame.CodeData {
		d.ShareText()
	}
	switch code {
	case frame.CodeHeader:
		m.Header = decodeHeader(d)
	case frame.CodeDeliveryAnnotations:
		m.DeliveryAnnotations = wire.DecodePairs[Symbol](d)
	case frame.CodeMessageAnnotations:
		m.Annotations = wire.DecodePairs[Symbol](d)
	case frame.CodeProperties:
		m.Properties = decodeProperties(d)
	case frame.CodeApplicationProperties:
		m.ApplicationProperties = wire.DecodePairs[string](d)
	case frame.CodeData:
		m.addData(d.Binary())
	case frame.CodeSequence:
		m.Sequence = append(m.Sequence, d.List())
	case frame.CodeValue:
		m.Value = d.Value()
	case frame.CodeFooter:
		m.Footer = wire.DecodePairs[Symbol](d)
	}
}

func (m *Message) addData(b []byte) {
	if m.Data == nil {
		m.SetData(b)
		return
	}
	m.Data = append(m.Data[:len(m.Data):len(m.Data)], b)
}

func decodeHeader(d *wire.Decoder) *Header {
	h := &Header{Priority: normalPriority}
	c := d.Composite()
	if c.Next() {
		h.Durable = d.Bool()
	}
	if c.Next() {
		h.Priority = d.Ubyte()
	}
	if c.Next() {
		h.TTL = time.Duration(d.Uint()) * time.Millisecond
	}
	if c.Next() {
		h.FirstAcquirer = d.Bool()
	}
	if c.Next() {
		h.DeliveryCount = d.Uint()
	}
	c.End()
	return h
}

func decodeProperties(d *wire.Decoder) *Properties {
	p := new(Properties)
	c := d.Composite()
	p.MessageID = decodeID(d, &c)
	if c.Next() {
		p.UserID = d.Binary()
	}
	for _, f := range []*string{&p.To, &p.Subject, &p.ReplyTo} {
		if c.Next() {
			*f = d.Text()
		}
	}
	p.CorrelationID = decodeID(d, &c)
	for _, f := range []*Symbol{&p.ContentType, &p.ContentEncoding} {
		if c.Next() {
			*f = d.Symbol()
		}
	}
	for _, f := range []*time.Time{&p.AbsoluteExpiry, &p.CreationTime} {
		if c.Next() {
			*f = d.Time()
		}
	}
	if c.Next() {
		p.GroupID = d.Text()
	}
	if c.Next() {
		p.GroupSequence = d.Uint()
	}
	if c.Next() {
		p.ReplyToGroupID = d.Text()
	}
	c.End()
	return p
}

// decodeID reads a message or correlation id [AMQP 3.2.11 to 3.2.14].
func decodeID(d *wire.Decoder, c *wire.Composite) any {
	if !c.Next() {
		return nil
	}
	switch v := d.Value().(type) {
	case uint64, UUID, []byte, string:
		return v
	}
	d.Fail(wire.ErrType)
	return nil
}
