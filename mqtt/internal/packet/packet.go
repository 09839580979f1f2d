// Package packet encodes and decodes the control packets of MQTT 3.1.1, for both
// ends. It reads from and appends to byte slices, allocates only strings and
// slices that it returns, never more than the packet holds, and keeps no state.
//
// Every packet is a fixed header and a body (section 2.2):
//
//	byte 0      type << 4 | flags
//	byte 1..4   length of the body, seven bits a byte, least significant first
//	body        depends on the type
//
// Strings are a length of two bytes, big-endian, and UTF-8. All errors are of
// type [*Error].
package packet

import (
	"fmt"
	"net"
)

// Type is the type of a control packet, section 2.2.1.
type Type byte

// The control packets.
const (
	CONNECT     Type = 1
	CONNACK     Type = 2
	PUBLISH     Type = 3
	PUBACK      Type = 4
	PUBREC      Type = 5
	PUBREL      Type = 6
	PUBCOMP     Type = 7
	SUBSCRIBE   Type = 8
	SUBACK      Type = 9
	UNSUBSCRIBE Type = 10
	UNSUBACK    Type = 11
	PINGREQ     Type = 12
	PINGRESP    Type = 13
	DISCONNECT  Type = 14
)

var typeNames = [16]string{
	"reserved packet 0", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP",
	"SUBSCRIBE", "SUBACK", "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "reserved packet 15",
}

func (t Type) String() string { return typeNames[t&15] }

// MaxLength is the greatest length of a body.
const MaxLength = 268435455

// An Error says what is wrong with a packet, or with its place in the
// conversation.
type Error struct {
	// Clause is the normative statement, such as "MQTT-3.1.0-2"; it is empty
	// if the packet is malformed or passes a limit.
	Clause string
	Detail string
}

func (e *Error) Error() string {
	if e.Clause == "" {
		return "mqtt: " + e.Detail
	}
	return fmt.Sprintf("mqtt: %s [%s]", e.Detail, e.Clause)
}

// Is makes every Error a net.ErrClosed: it ends the connection.
func (e *Error) Is(target error) bool { return target == net.ErrClosed }

// Errorf returns an *Error.
func Errorf(clause, format string, args ...any) error {
	return &Error{Clause: clause, Detail: fmt.Sprintf(format, args...)}
}

// A Header is a fixed header.
type Header struct {
	Type   Type
	Flags  byte
	Length int // of the body
	Size   int // of the header itself: 2 to 5 bytes
}

// ParseHeader reads the fixed header at the beginning of b. Its Size is 0 if b
// ends before it does.
func ParseHeader(b []byte) (Header, error) {
	if len(b) == 0 {
		return Header{}, nil
	}
	h := Header{Type: Type(b[0] >> 4), Flags: b[0] & 15}
	if err := h.check(); err != nil {
		return Header{}, err
	}
	for i := 1; i < len(b); i++ {
		h.Length |= int(b[i]&0x7f) << (7 * (i - 1))
		if b[i]&0x80 == 0 {
			if i > 1 && b[i] == 0 {
				return Header{}, Errorf("", "remaining length is not in its shortest form")
			}
			h.Size = 1 + i
			return h, nil
		}
		if i == 4 {
			return Header{}, Errorf("", "remaining length is longer than four bytes")
		}
	}
	return Header{}, nil
}

// check refuses reserved types and flags that are not those of table 2.2.
func (h Header) check() error {
	want := byte(0)
	switch h.Type {
	case 0, 15:
		return Errorf("", "%v", h.Type)
	case PUBLISH:
		return nil // its flags have a meaning
	case PUBREL, SUBSCRIBE, UNSUBSCRIBE:
		want = 2
	}
	if h.Flags != want {
		return Errorf("MQTT-2.2.2-2", "%v with flags %#x", h.Type, h.Flags)
	}
	return nil
}

// appendHeader appends a fixed header for a body of n bytes.
func appendHeader(b []byte, t Type, flags byte, n int) []byte {
	b = append(b, byte(t)<<4|flags)
	for n >= 0x80 {
		b = append(b, byte(n)|0x80)
		n >>= 7
	}
	return append(b, byte(n))
}
