package amqp10

import (
	"fmt"
	"time"

	"sluice/amqp10/internal/frame"
	"sluice/amqp10/internal/wire"
)

// Message is a message with all its sections [AMQP 3.2]. The body is Data,
// Sequence or Value, whichever is there; a message with none of them has an
// amqp-value of null. If Data is empty but not nil, the message is sent without a
// body: the specification has no such message, but there are services that send it.
//
// A decoded message aliases the bytes that it was decoded from: Data, and
// binary values. Its texts are copies, and share their memory: who keeps one of
// them for long clones it.
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
	if m.Data == nil && m.Sequence == nil {
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
	m := new(decoded)
	if err := m.decode(payload); err != nil {
		return nil, err
	}
	return &m.Message, nil
}

// decoded is a message with the sections that nearly every one has.
type decoded struct {
	Message
	header     Header
	properties Properties
}

func (m *decoded) decode(payload []byte) error {
	var boxes wire.Boxes
	d := wire.NewDecoder(payload)
	d.ShareText(headLen(d))
	var last, seen uint64
	for d.Len() > 0 && d.Err() == nil {
		code := frame.Descriptor(&d)
		if d.Err() == nil && !sectionMayFollow(seen, last, code) {
			return Errorf(ErrDecode, "message: section %#x after %#x", code, last)
		}
		m.section(&d, &boxes, code)
		last, seen = code, seen|1<<(code-frame.CodeHeader)
	}
	if d.Err() != nil {
		return Errorf(ErrDecode, "message: section %#x at byte %d: %v", last, d.Offset(), d.Err())
	}
	boxes.Close()
	return nil
}

// headLen returns the length of the sections before the body.
func headLen(d wire.Decoder) int {
	end := 0
	for d.Len() > 0 {
		if code := frame.Descriptor(&d); code >= frame.CodeData {
			break
		}
		d.Skip()
		if d.Err() != nil {
			break
		}
		end = d.Offset()
	}
	return end
}

// bodies are the sections of which a message has one kind, as bits of those seen.
const bodies = 1<<(frame.CodeData-frame.CodeHeader) | 1<<(frame.CodeSequence-frame.CodeHeader) | 1<<(frame.CodeValue-frame.CodeHeader)

// sectionMayFollow holds [AMQP 3.2]: what stands before the body, the body, which
// is of one kind, and the footer; each section once, but data and sequence repeat.
// The order of what stands before the body is not insisted on: a client that was
// much used (amqp10 for Node) writes properties before annotations, and brokers
// take it.
func sectionMayFollow(seen, last, code uint64) bool {
	if code < frame.CodeHeader || code > frame.CodeFooter {
		return false
	}
	if code == last && (code == frame.CodeData || code == frame.CodeSequence) {
		return true
	}
	if code == frame.CodeFooter {
		return last != frame.CodeFooter
	}
	section, after := uint64(1)<<(code-frame.CodeHeader), bodies|uint64(1)<<(frame.CodeFooter-frame.CodeHeader)
	return seen&(section|after) == 0
}

func (m *decoded) section(d *wire.Decoder, boxes *wire.Boxes, code uint64) {
	switch code {
	case frame.CodeHeader:
		m.Header = &m.header
		m.header.decode(d)
	case frame.CodeDeliveryAnnotations:
		m.DeliveryAnnotations = wire.DecodePairs[Symbol](d, boxes)
	case frame.CodeMessageAnnotations:
		m.Annotations = wire.DecodePairs[Symbol](d, boxes)
	case frame.CodeProperties:
		m.Properties = &m.properties
		m.properties.decode(d, boxes)
	case frame.CodeApplicationProperties:
		m.ApplicationProperties = wire.DecodePairs[string](d, boxes)
	case frame.CodeData:
		m.addData(d.Binary())
	case frame.CodeSequence:
		m.Sequence = append(m.Sequence, d.List())
	case frame.CodeValue:
		m.Value = d.Value()
	case frame.CodeFooter:
		m.Footer = wire.DecodePairs[Symbol](d, boxes)
	}
}

func (m *Message) addData(b []byte) {
	if m.Data == nil {
		m.SetData(b)
		return
	}
	m.Data = append(m.Data[:len(m.Data):len(m.Data)], b)
}

func (h *Header) decode(d *wire.Decoder) {
	h.Priority = normalPriority
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
}

func (p *Properties) decode(d *wire.Decoder, boxes *wire.Boxes) {
	c := d.Composite()
	decodeID(d, boxes, &c, &p.MessageID)
	if c.Next() {
		p.UserID = d.Binary()
	}
	for _, f := range []*string{&p.To, &p.Subject, &p.ReplyTo} {
		if c.Next() {
			*f = d.Text()
		}
	}
	decodeID(d, boxes, &c, &p.CorrelationID)
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
}

// decodeID reads a message or correlation id [AMQP 3.2.11 to 3.2.14].
func decodeID(d *wire.Decoder, boxes *wire.Boxes, c *wire.Composite, id *any) {
	if !c.Next() || boxes.Value(d, id) {
		return
	}
	switch (*id).(type) {
	case uint64, UUID, []byte, string:
		return
	}
	d.Fail(wire.ErrType)
}
