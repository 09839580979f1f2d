package bench

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The packets of MQTT 3.1.1 that a load needs.
const (
	packetConnect = 0x10
	packetConnack = 0x20
	packetPublish = 0x32 // at QoS 1
	packetPuback  = 0x40
)

var errMalformed = errors.New("the server sent what is no MQTT")

// appendLength appends a remaining length.
func appendLength(b []byte, n int) []byte {
	for n >= 0x80 {
		b = append(b, byte(n)|0x80)
		n >>= 7
	}
	return append(b, byte(n))
}

func appendString(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}

// appendConnect appends a CONNECT with clean session 1.
func appendConnect(b []byte, c *Login, keepAlive uint16) []byte {
	flags, n := byte(2), 10+2+len(c.ClientID)
	if c.Username != "" {
		flags, n = flags|0x80, n+2+len(c.Username)
	}
	if c.Password != "" {
		flags, n = flags|0x40, n+2+len(c.Password)
	}
	b = appendLength(append(b, packetConnect), n)
	b = append(appendString(b, "MQTT"), 4, flags)
	b = binary.BigEndian.AppendUint16(b, keepAlive)
	b = appendString(b, c.ClientID)
	if c.Username != "" {
		b = appendString(b, c.Username)
	}
	if c.Password != "" {
		b = appendString(b, c.Password)
	}
	return b
}

// newPublish makes a PUBLISH at QoS 1, and says where its identifier stands.
func newPublish(topic string, payload []byte) (packet []byte, id int) {
	b := appendLength([]byte{packetPublish}, 2+len(topic)+2+len(payload))
	b = appendString(b, topic)
	id = len(b)
	b = append(b, 0, 0)
	return append(b, payload...), id
}

// cutPacket cuts one packet from the front of b. It returns no rest while it is
// not complete.
func cutPacket(b []byte) (kind byte, body, rest []byte, err error) {
	n, size := 0, 0
	for i := 1; ; i++ {
		if i > 4 {
			return 0, nil, nil, errMalformed
		}
		if i >= len(b) {
			return 0, nil, nil, nil
		}
		n |= int(b[i]&0x7f) << (7 * (i - 1))
		if b[i] < 0x80 {
			size = i + 1
			break
		}
	}
	if n > 1<<20 {
		return 0, nil, nil, errMalformed
	}
	if len(b) < size+n {
		return 0, nil, nil, nil
	}
	return b[0] & 0xf0, b[size : size+n], b[size+n:], nil
}

// A RefusedError is a CONNACK that says no.
type RefusedError struct {
	Code byte
}

func (e *RefusedError) Error() string {
	reasons := [...]string{1: "wrong protocol version", 2: "client id refused", 3: "server unavailable", 4: "bad user name or password", 5: "not authorized"}
	reason := "unknown reason"
	if int(e.Code) < len(reasons) && reasons[e.Code] != "" {
		reason = reasons[e.Code]
	}
	return fmt.Sprintf("refused with CONNACK %d: %s", e.Code, reason)
}
