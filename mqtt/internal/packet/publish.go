package packet

import (
	"encoding/binary"
	"fmt"
)

// Publish is a PUBLISH, section 3.3.
type Publish struct {
	Topic   []byte
	Payload []byte
	ID      uint16 // zero if QoS is 0
	QoS     byte
	Dup     bool
	Retain  bool
}

// DecodePublish reads the body of a PUBLISH with these header flags. Its slices
// alias b. Its topic is UTF-8 if it is not known, the topic of an earlier PUBLISH
// that was: devices repeat theirs.
func DecodePublish(flags byte, b []byte, known string) (Publish, error) {
	p := Publish{QoS: flags >> 1 & 3, Dup: flags&8 != 0, Retain: flags&1 != 0}
	if p.QoS == 3 {
		return p, Errorf("MQTT-3.3.1-4", "PUBLISH with QoS 3")
	}
	if p.QoS == 0 && p.Dup {
		return p, Errorf("MQTT-3.3.1-2", "PUBLISH with DUP and QoS 0")
	}
	c := cursor{b: b}
	if n := 2 + len(known); len(known) > 0 && len(b) >= n &&
		int(binary.BigEndian.Uint16(b)) == len(known) && string(b[2:n]) == known {
		p.Topic = c.bytes()
	} else {
		p.Topic = c.text()
	}
	if p.QoS > 0 {
		p.ID = c.id()
	}
	if c.err != nil {
		return p, c.err
	}
	p.Payload = c.b
	return p, nil
}

// AppendPublish appends a PUBLISH. It fails, without a change to b, if the topic
// or the whole is longer than the format allows.
func AppendPublish[T string | []byte](b []byte, p *Publish, topic T) ([]byte, error) {
	n := 2 + len(topic) + len(p.Payload)
	if p.QoS > 0 {
		n += 2
	}
	if len(topic) > 65535 || n > MaxLength {
		return b, fmt.Errorf("mqtt: topic of %d and payload of %d bytes do not fit a packet", len(topic), len(p.Payload))
	}
	flags := p.QoS << 1
	if p.Dup {
		flags |= 8
	}
	if p.Retain {
		flags |= 1
	}
	b = appendHeader(b, PUBLISH, flags, n)
	b = appendString(b, topic)
	if p.QoS > 0 {
		b = binary.BigEndian.AppendUint16(b, p.ID)
	}
	return append(b, p.Payload...), nil
}

// DecodeID reads the body of a PUBACK, PUBREC, PUBREL, PUBCOMP or UNSUBACK: a
// packet identifier and nothing else.
func DecodeID(b []byte) (uint16, error) {
	c := cursor{b: b}
	id := c.id()
	return id, c.end()
}

// AppendID appends a PUBACK, PUBREC, PUBREL, PUBCOMP or UNSUBACK.
func AppendID(b []byte, t Type, id uint16) []byte {
	flags := byte(0)
	if t == PUBREL {
		flags = 2
	}
	return append(b, byte(t)<<4|flags, 2, byte(id>>8), byte(id))
}

// AppendEmpty appends a PINGREQ, PINGRESP or DISCONNECT.
func AppendEmpty(b []byte, t Type) []byte { return append(b, byte(t)<<4, 0) }

// DecodeEmpty checks the body of a PINGREQ, PINGRESP or DISCONNECT.
func DecodeEmpty(b []byte) error {
	c := cursor{b: b}
	return c.end()
}
