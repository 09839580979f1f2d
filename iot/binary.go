package iot

import (
	"encoding/binary"
	"errors"
)

// The binary form of a message, which spools and event logs store:
//
//	version  1 byte   1
//	nsys     uvarint  then nsys × (name 1 byte, value string)
//	nprop    uvarint  then nprop × (key string, value string)
//	body     the rest
//
// where a string is a uvarint length and its bytes. Unknown system names are
// kept, so that an older reader does not lose what a newer writer stored.
const messageVersion = 1

// ErrCorruptMessage is returned for bytes that [Message.AppendBinary] cannot
// have written.
var ErrCorruptMessage = errors.New("iot: corrupt message")

// AppendBinary appends the binary form of m to b. It never fails.
func (m *Message) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, messageVersion)
	b = binary.AppendUvarint(b, uint64(len(m.System)))
	for i := range m.System {
		b = append(b, byte(m.System[i].Name))
		b = appendString(b, m.System[i].Value)
	}
	b = binary.AppendUvarint(b, uint64(len(m.Properties)))
	for i := range m.Properties {
		b = appendString(b, m.Properties[i].Key)
		b = appendString(b, m.Properties[i].Value)
	}
	return append(b, m.Body...), nil
}

// UnmarshalBinary reads what AppendBinary wrote. The body and all strings alias
// one private copy of b, so b may be reused.
func (m *Message) UnmarshalBinary(b []byte) error {
	if len(b) == 0 || b[0] != messageVersion {
		return ErrCorruptMessage
	}
	// Two copies: one string shared by all keys and values, one body. Each
	// property on its own would cost an allocation.
	r := messageReader{b: b[1:], text: string(b[1:])}
	m.System, m.Properties = nil, nil
	if n := r.count(2); n > 0 {
		m.System = make(System, n)
		for i := range m.System {
			m.System[i] = SystemValue{SystemName(r.byte()), r.string()}
		}
	}
	if n := r.count(2); n > 0 {
		m.Properties = make(Properties, n)
		for i := range m.Properties {
			m.Properties[i] = Property{r.string(), r.string()}
		}
	}
	if r.bad {
		return ErrCorruptMessage
	}
	m.Body = append([]byte(nil), r.b[r.at:]...)
	return nil
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// messageReader reads from b; text is the same bytes as a string. After the
// first fault everything reads as zero.
type messageReader struct {
	b    []byte
	text string
	at   int
	bad  bool
}

func (r *messageReader) byte() byte {
	if r.bad || r.at >= len(r.b) {
		r.bad = true
		return 0
	}
	r.at++
	return r.b[r.at-1]
}

func (r *messageReader) length() int {
	if r.bad {
		return 0
	}
	v, n := binary.Uvarint(r.b[r.at:])
	if n <= 0 || v > uint64(len(r.b)-r.at-n) {
		r.bad = true
		return 0
	}
	r.at += n
	return int(v)
}

// count reads the number of items that take at least min bytes each, so that a
// lying count cannot make the caller allocate.
func (r *messageReader) count(min int) int {
	n := r.length()
	if n*min > len(r.b)-r.at {
		r.bad = true
		return 0
	}
	return n
}

func (r *messageReader) string() string {
	n := r.length()
	r.at += n
	return r.text[r.at-n : r.at]
}
