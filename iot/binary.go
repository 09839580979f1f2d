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

// UnmarshalBinary reads what AppendBinary wrote, and nothing else. m shares no
// memory with b afterwards; its keys and values share one string. After an
// error, which is [ErrCorruptMessage], m is as it was.
func (m *Message) UnmarshalBinary(b []byte) error {
	size, ok := headerSize(b)
	if !ok {
		return ErrCorruptMessage
	}
	// One string for all keys and values: each on its own would cost an
	// allocation. The body is not part of it, so that a kept property does
	// not keep a body in memory.
	r := messageReader{text: string(b[:size]), at: 1}
	got := Message{Body: append([]byte(nil), b[size:]...)}
	if n := r.count(); n > 0 {
		got.System = make(System, n, n+1) // with room for what a hub adds
		for i := range got.System {
			got.System[i] = SystemValue{SystemName(r.byte()), r.string()}
		}
	}
	if n := r.count(); n > 0 {
		got.Properties = make(Properties, n)
		for i := range got.Properties {
			got.Properties[i] = Property{r.string(), r.string()}
		}
	}
	*m = got
	return nil
}

// headerSize returns how many bytes of b stand before the body, if they are
// well formed. No count of items that it lets pass is larger than the bytes
// that are there, so that a lying count makes nobody allocate.
func headerSize(b []byte) (size int, ok bool) {
	if len(b) == 0 || b[0] != messageVersion {
		return 0, false
	}
	s := messageScanner{b: b, at: 1}
	for n := s.uvarint(); n > 0 && !s.bad; n-- {
		s.skip(1)
		s.skip(s.uvarint())
	}
	for n := s.uvarint(); n > 0 && !s.bad; n-- {
		s.skip(s.uvarint())
		s.skip(s.uvarint())
	}
	return s.at, !s.bad
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// messageScanner walks over b without keeping anything. After the first fault
// everything reads as zero.
type messageScanner struct {
	b   []byte
	at  int
	bad bool
}

func (s *messageScanner) uvarint() uint64 {
	v, n := binary.Uvarint(s.b[s.at:])
	// A last byte of zero is a length that AppendUvarint writes shorter.
	if s.bad || n <= 0 || n > 1 && s.b[s.at+n-1] == 0 {
		s.bad = true
		return 0
	}
	s.at += n
	return v
}

func (s *messageScanner) skip(n uint64) {
	if s.bad || n > uint64(len(s.b)-s.at) {
		s.bad = true
		return
	}
	s.at += int(n)
}

// messageReader reads a header that headerSize has checked.
type messageReader struct {
	text string
	at   int
}

func (r *messageReader) byte() byte {
	r.at++
	return r.text[r.at-1]
}

func (r *messageReader) count() int {
	for shift, n := 0, 0; ; shift += 7 {
		c := r.byte()
		n |= int(c&0x7f) << shift
		if c < 0x80 {
			return n
		}
	}
}

func (r *messageReader) string() string {
	n := r.count()
	r.at += n
	return r.text[r.at-n : r.at]
}
