package iot

import (
	"encoding/binary"
	"errors"
	"unsafe"
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
	var d Decoder
	*m = d.message(string(b[:size]), append([]byte(nil), b[size:]...), 0)
	return nil
}

// A Decoder decodes many messages that are soon done with, without copying them. The
// zero value is ready. It is for one goroutine at a time.
type Decoder struct {
	system     []SystemValue // room for the messages to come
	properties []Property
}

// Room is made for so many values at once, and a message gets some to spare, for what a
// hub or a gateway adds to it.
const (
	decoderRoom = 64
	spareValues = 2
)

// Decode is [Message.UnmarshalBinary], but for memory: the body, keys and values of the
// message are parts of b, which nobody may change from then on, and its slices stand
// beside those of other messages, so that a message which is kept keeps them all.
func (d *Decoder) Decode(b []byte) (Message, error) {
	size, ok := headerSize(b)
	if !ok {
		return Message{}, ErrCorruptMessage
	}
	return d.message(unsafe.String(unsafe.SliceData(b), size), b[size:len(b):len(b)], decoderRoom), nil
}

// message reads a header that headerSize has checked. What room it makes is for so many
// values at least.
func (d *Decoder) message(header string, body []byte, room int) (m Message) {
	m.Body = body
	r := messageReader{text: header, at: 1}
	if n := r.count(); n > 0 {
		m.System = System(carve(&d.system, n, spareValues, room))
		for i := range m.System {
			m.System[i] = SystemValue{SystemName(r.byte()), r.string()}
		}
	}
	if n := r.count(); n > 0 {
		m.Properties = Properties(carve(&d.properties, n, 0, room))
		for i := range m.Properties {
			m.Properties[i] = Property{r.string(), r.string()}
		}
	}
	return m
}

// carve takes n items, with some to spare behind them, from the front of a slice, which
// it makes anew if it is too short, with least items at least.
func carve[T any](from *[]T, n, spare, least int) []T {
	if len(*from) < n+spare {
		*from = make([]T, max(n+spare, least))
	}
	got := (*from)[: n : n+spare]
	*from = (*from)[n+spare:]
	return got
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
