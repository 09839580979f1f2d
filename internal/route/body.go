package route

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

type bodyState uint8

const (
	bodyUnread bodyState = iota
	bodyRead
	bodyUnreadable
)

// bodyValues are what a plan's paths lead to in one body.
type bodyValues struct {
	state  bodyState
	typed  bool // the message says that it holds JSON
	plan   *plan
	found  []found   // by slot
	active []*branch // of the scanner, kept for the next body
}

// found is what a path leads to: nothing, one value, or several.
type found struct {
	value value // undefined for objects, arrays and times
	times int
}

func (b *bodyValues) begin(p *plan) {
	b.state, b.typed, b.plan = bodyUnread, false, p
	if cap(b.found) < p.size {
		b.found = make([]found, p.size)
	}
	b.found = b.found[:p.size]
}

// forget lets go of the message's strings.
func (b *bodyValues) forget() {
	clear(b.found)
	clear(b.active[:cap(b.active)])
	b.plan = nil
}

// value is what the path of a slot leads to. Nothing is null, as in edgeHub.
func (b *bodyValues) value(slot int) value {
	switch f := &b.found[slot]; {
	case b.state != bodyRead || f.times > 1:
		return undefined
	case f.times == 0:
		return nullValue
	default:
		return f.value
	}
}

// read finds the values in a body. A body that is not a JSON object in the given
// encoding leads to nothing but undefined.
func (b *bodyValues) read(raw []byte, encoding string) {
	text, ok := decode(raw, encoding)
	b.state = bodyUnreadable
	if !ok {
		return
	}
	s := scanner{text: text, found: b.found, active: append(b.active[:0], b.plan.root)}
	if s.document() {
		b.state = bodyRead
	}
	b.active = s.active
}

// decode makes UTF-8 of a body.
func decode(raw []byte, encoding string) ([]byte, bool) {
	switch {
	case strings.EqualFold(encoding, "utf-8"):
		return bytes.TrimPrefix(raw, []byte("\uFEFF")), true
	case strings.EqualFold(encoding, "utf-16"):
		return decode16(raw)
	case strings.EqualFold(encoding, "utf-32"):
		return decode32(raw)
	}
	return nil, false
}

func decode16(raw []byte) ([]byte, bool) {
	if len(raw)%2 != 0 {
		return nil, false
	}
	units := make([]uint16, len(raw)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(raw[2*i:])
	}
	out := make([]byte, 0, len(raw))
	for i, r := range utf16.Decode(units) {
		if i > 0 || r != '\uFEFF' {
			out = utf8.AppendRune(out, r)
		}
	}
	return out, true
}

func decode32(raw []byte) ([]byte, bool) {
	if len(raw)%4 != 0 {
		return nil, false
	}
	out := make([]byte, 0, len(raw)/2)
	for i := 0; i < len(raw); i += 4 {
		r := binary.LittleEndian.Uint32(raw[i:])
		if i == 0 && r == '\uFEFF' {
			continue
		}
		out = utf8.AppendRune(out, rune(min(r, utf8.MaxRune+1)))
	}
	return out, true
}

func knownEncoding(name string) bool {
	_, ok := decode(nil, name)
	return ok
}
