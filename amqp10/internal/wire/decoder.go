package wire

import (
	"encoding/binary"
	"unicode/utf8"
)

// Decoder reads AMQP values from the front of a byte slice. The first error
// sticks: every later call returns a zero value and changes nothing.
//
// Binary values alias the input. Strings and symbols are copies.
type Decoder struct {
	b     []byte
	off   int
	end   int // of the innermost list, map or array
	depth int
	err   error

	// text is a copy of b[textOff:textOff+len(text)]; strings inside it are
	// cut from it, so that a section's strings cost one allocation in all.
	text    string
	textOff int
}

// NewDecoder returns a decoder of b. The caller leaves b alone for as long as
// values decoded from it are in use.
func NewDecoder(b []byte) Decoder { return Decoder{b: b, end: len(b)} }

// Err returns the first error.
func (d *Decoder) Err() error { return d.err }

// Len returns the number of bytes that are left.
func (d *Decoder) Len() int { return d.end - d.off }

// Rest returns the bytes that are left, without consuming them.
func (d *Decoder) Rest() []byte { return d.b[d.off:d.end:d.end] }

// Offset returns the number of bytes consumed.
func (d *Decoder) Offset() int { return d.off }

// Fail makes err the decoder's error, unless it has one.
func (d *Decoder) Fail(err error) {
	if d.err == nil {
		d.err = err
		d.off = d.end
	}
}

// take returns the next n bytes, aliasing the input.
func (d *Decoder) take(n uint32) []byte {
	if uint64(n) > uint64(d.end-d.off) {
		d.Fail(ErrShort)
		return nil
	}
	v := d.b[d.off : d.off+int(n) : d.off+int(n)]
	d.off += int(n)
	return v
}

// code returns the next format code; 0x01, which is none, after an error.
func (d *Decoder) code() byte {
	if d.off >= d.end {
		d.Fail(ErrShort)
		return 0x01
	}
	c := d.b[d.off]
	d.off++
	return c
}

func (d *Decoder) u8() uint8 {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *Decoder) u16() uint16 {
	if b := d.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (d *Decoder) u32() uint32 {
	if b := d.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (d *Decoder) u64() uint64 {
	if b := d.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// Null consumes the next value if it is null, and reports whether it was.
func (d *Decoder) Null() bool {
	if d.off < d.end && d.b[d.off] == codeNull {
		d.off++
		return true
	}
	return false
}

// str returns n bytes as a string, out of the section's copy if there is one.
func (d *Decoder) str(n uint32) string {
	start := d.off
	b := d.take(n)
	if at := start - d.textOff; d.text != "" && at >= 0 && at+len(b) <= len(d.text) {
		return d.text[at : at+len(b)]
	}
	return string(b)
}

func (d *Decoder) utf8(n uint32) string {
	s := d.str(n)
	if !utf8.ValidString(s) {
		d.Fail(ErrText)
		return ""
	}
	return s
}

func (d *Decoder) ascii(n uint32) Symbol {
	s := d.str(n)
	for i := range len(s) {
		if s[i] >= 0x80 {
			d.Fail(ErrSymbol)
			return ""
		}
	}
	return Symbol(s)
}

// ShareText makes the strings of the next n bytes share one copy of them. It suits
// what is small and mostly text; the copy lives as long as any string cut from it.
func (d *Decoder) ShareText(n int) {
	d.text, d.textOff = string(d.b[d.off:d.off+min(n, d.Len())]), d.off
}

// scope bounds the decoder to the contents of one list, map or array.
type scope struct{ end int }

// enter starts a compound value of size bytes, of which the count is the
// first. It has checked that count values can be there, when each takes at
// least one byte.
func (d *Decoder) enter(wide bool) (count int, outer scope) {
	outer = scope{d.end}
	if d.depth++; d.depth > MaxDepth {
		d.Fail(ErrDepth)
		return 0, outer
	}
	var size, n, width uint32
	if wide {
		size, width = d.u32(), 4
	} else {
		size, width = uint32(d.u8()), 1
	}
	if d.err == nil && (size < width || uint64(size) > uint64(d.Len())) {
		d.Fail(ErrShort)
	}
	if d.err != nil {
		return 0, outer
	}
	d.end = d.off + int(size)
	if wide {
		n = d.u32()
	} else {
		n = uint32(d.u8())
	}
	if uint64(n) > uint64(d.Len()) {
		d.Fail(ErrCount)
		return 0, outer
	}
	return int(n), outer
}

// leave ends the compound value: all of its bytes must have been used.
func (d *Decoder) leave(outer scope) {
	if d.err == nil && d.off != d.end {
		d.Fail(ErrSize)
	}
	d.depth--
	d.end = outer.end
	if d.err != nil {
		d.off = d.end
	}
}

// Skip consumes one value of any type without building it. Compound values
// are passed over by their size, unread.
func (d *Decoder) Skip() {
	c := d.code()
	if c != codeDescribed {
		d.skipBody(c)
		return
	}
	if d.depth++; d.depth > MaxDepth {
		d.Fail(ErrDepth)
		return
	}
	d.Skip() // a descriptor may itself be described [AMQP 1.2]
	d.Skip()
	d.depth--
}

// skipBody passes over what follows code c. The high nibble of a code gives
// the width of its body [AMQP 1.2, figure 1.2].
func (d *Decoder) skipBody(c byte) {
	switch c >> 4 {
	case 0x4:
	case 0x5:
		d.take(1)
	case 0x6:
		d.take(2)
	case 0x7:
		d.take(4)
	case 0x8:
		d.take(8)
	case 0x9:
		d.take(16)
	case 0xa, 0xc, 0xe:
		d.take(uint32(d.u8()))
	case 0xb, 0xd, 0xf:
		d.take(d.u32())
	default:
		d.Fail(ErrCode)
	}
}
