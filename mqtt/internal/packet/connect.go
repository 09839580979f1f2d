package packet

import (
	"encoding/binary"
	"errors"
)

// Connect is a CONNECT, section 3.1.
type Connect struct {
	ClientID     string
	CleanSession bool
	KeepAlive    uint16 // seconds
	Will         *Will  // nil if absent
	HasUsername  bool
	Username     string
	Password     []byte // nil if absent
}

// Will is the will of a CONNECT.
type Will struct {
	Topic   string
	Payload []byte
	QoS     byte
	Retain  bool
}

// ErrLevel says that a CONNECT asks for another level of the protocol than 4; it
// is to be answered with return code 1 [MQTT-3.1.2-2].
var ErrLevel = errors.New("mqtt: protocol level is not 4")

// The connect flags, section 3.1.2.3.
const (
	flagReserved   = 0x01
	flagClean      = 0x02
	flagWill       = 0x04
	flagWillQoS    = 0x18
	flagWillRetain = 0x20
	flagPassword   = 0x40
	flagUsername   = 0x80
)

// DecodeConnect reads the body of a CONNECT. What it returns does not alias b.
func DecodeConnect(b []byte) (*Connect, error) {
	c := cursor{b: b}
	if name := c.bytes(); c.err == nil && string(name) != "MQTT" {
		return nil, Errorf("MQTT-3.1.2-1", "protocol name is %.16q", name)
	}
	// The level is judged first: what follows it belongs to that level.
	if level := c.byte(); c.err == nil && level != 4 {
		return nil, ErrLevel
	}
	flags := c.byte()
	p := &Connect{CleanSession: flags&flagClean != 0, KeepAlive: c.uint16()}
	if c.err == nil {
		c.err = checkConnectFlags(flags)
	}
	p.decodePayload(&c, flags)
	if err := c.end(); err != nil {
		return nil, err
	}
	return p, nil
}

// decodePayload reads the fields in the order of [MQTT-3.1.3-1].
func (p *Connect) decodePayload(c *cursor, flags byte) {
	p.ClientID = c.string()
	if flags&flagWill != 0 {
		p.Will = &Will{
			Topic:   c.string(),
			Payload: append([]byte{}, c.bytes()...),
			QoS:     flags & flagWillQoS >> 3,
			Retain:  flags&flagWillRetain != 0,
		}
	}
	if flags&flagUsername != 0 {
		p.HasUsername, p.Username = true, c.string()
	}
	if flags&flagPassword != 0 {
		p.Password = append([]byte{}, c.bytes()...)
	}
}

func checkConnectFlags(f byte) error {
	switch {
	case f&flagReserved != 0:
		return Errorf("MQTT-3.1.2-3", "reserved connect flag is set")
	case f&flagWill == 0 && f&flagWillQoS != 0:
		return Errorf("MQTT-3.1.2-13", "will QoS without a will")
	case f&flagWill == 0 && f&flagWillRetain != 0:
		return Errorf("MQTT-3.1.2-15", "will retain without a will")
	case f&flagWillQoS == flagWillQoS:
		return Errorf("MQTT-3.1.2-14", "will QoS is 3")
	case f&flagUsername == 0 && f&flagPassword != 0:
		return Errorf("MQTT-3.1.2-22", "password without user name")
	}
	return nil
}

func (p *Connect) flags() (f byte) {
	if p.CleanSession {
		f |= flagClean
	}
	if p.HasUsername {
		f |= flagUsername
	}
	if p.Password != nil {
		f |= flagPassword
	}
	if w := p.Will; w != nil {
		f |= flagWill | w.QoS<<3
		if w.Retain {
			f |= flagWillRetain
		}
	}
	return f
}

// Append appends the packet to b.
func (p *Connect) Append(b []byte) []byte {
	body := appendString(nil, "MQTT")
	body = append(body, 4, p.flags())
	body = binary.BigEndian.AppendUint16(body, p.KeepAlive)
	body = appendString(body, p.ClientID)
	if p.Will != nil {
		body = appendString(body, p.Will.Topic)
		body = appendString(body, p.Will.Payload)
	}
	if p.HasUsername {
		body = appendString(body, p.Username)
	}
	if p.Password != nil {
		body = appendString(body, p.Password)
	}
	return append(appendHeader(b, CONNECT, 0, len(body)), body...)
}

// AppendConnack appends a CONNACK, section 3.2.
func AppendConnack(b []byte, present bool, code byte) []byte {
	var p byte
	if present {
		p = 1
	}
	return append(b, byte(CONNACK)<<4, 2, p, code)
}

// DecodeConnack reads the body of a CONNACK.
func DecodeConnack(b []byte) (present bool, code byte, err error) {
	c := cursor{b: b}
	flags := c.byte()
	code = c.byte()
	if c.err == nil && flags > 1 {
		c.err = Errorf("", "CONNACK with acknowledge flags %#x", flags)
	}
	return flags == 1, code, c.end()
}
