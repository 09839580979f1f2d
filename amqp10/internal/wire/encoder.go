package wire

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
	"unicode/utf8"
)

// Encoder appends AMQP values to B, in their shortest form.
type Encoder struct {
	B   []byte
	err error
}

// Err returns the first error: a Go value that AMQP has no type for.
func (e *Encoder) Err() error { return e.err }

// Undo takes back what has been appended from B[n:] on, and the error.
func (e *Encoder) Undo(n int) { e.B, e.err = e.B[:n], nil }

func (e *Encoder) fail(format string, args ...any) {
	if e.err == nil {
		e.err = fmt.Errorf(format, args...)
	}
}

func (e *Encoder) put8(c, v byte) { e.B = append(e.B, c, v) }

func (e *Encoder) u32(v uint32) { e.B = binary.BigEndian.AppendUint32(e.B, v) }

func (e *Encoder) u64(v uint64) { e.B = binary.BigEndian.AppendUint64(e.B, v) }

// Null appends null.
func (e *Encoder) Null() { e.B = append(e.B, codeNull) }

// Bool appends a boolean.
func (e *Encoder) Bool(v bool) {
	if v {
		e.B = append(e.B, codeTrue)
	} else {
		e.B = append(e.B, codeFalse)
	}
}

// Ubyte appends a ubyte.
func (e *Encoder) Ubyte(v uint8) { e.put8(codeUbyte, v) }

// Ushort appends a ushort.
func (e *Encoder) Ushort(v uint16) {
	e.B = append(e.B, codeUshort, byte(v>>8), byte(v))
}

// Uint appends a uint.
func (e *Encoder) Uint(v uint32) {
	switch {
	case v == 0:
		e.B = append(e.B, codeUint0)
	case v <= math.MaxUint8:
		e.put8(codeSmallUint, byte(v))
	default:
		e.B = append(e.B, codeUint)
		e.u32(v)
	}
}

// Ulong appends a ulong.
func (e *Encoder) Ulong(v uint64) {
	switch {
	case v == 0:
		e.B = append(e.B, codeUlong0)
	case v <= math.MaxUint8:
		e.put8(codeSmallUlong, byte(v))
	default:
		e.B = append(e.B, codeUlong)
		e.u64(v)
	}
}

// Int appends an int.
func (e *Encoder) Int(v int32) {
	if v >= math.MinInt8 && v <= math.MaxInt8 {
		e.put8(codeSmallInt, byte(v))
		return
	}
	e.B = append(e.B, codeInt)
	e.u32(uint32(v))
}

// Long appends a long.
func (e *Encoder) Long(v int64) {
	if v >= math.MinInt8 && v <= math.MaxInt8 {
		e.put8(codeSmallLong, byte(v))
		return
	}
	e.B = append(e.B, codeLong)
	e.u64(uint64(v))
}

// Time appends a timestamp, in whole milliseconds.
func (e *Encoder) Time(v time.Time) {
	e.B = append(e.B, codeTimestamp)
	e.u64(uint64(v.UnixMilli()))
}

// Binary appends a binary.
func (e *Encoder) Binary(v []byte) {
	e.variable(codeBin8, len(v))
	e.B = append(e.B, v...)
}

// BinaryHeader appends the constructor and length of a binary of n bytes,
// which the caller appends.
func (e *Encoder) BinaryHeader(n int) { e.variable(codeBin8, n) }

// Text appends a string, which must be UTF-8.
func (e *Encoder) Text(v string) {
	if !utf8.ValidString(v) {
		e.fail("string %.40q is not UTF-8", v)
	}
	e.variable(codeStr8, len(v))
	e.B = append(e.B, v...)
}

// Symbol appends a symbol, which must be ASCII.
func (e *Encoder) Symbol(v Symbol) {
	e.checkASCII(v)
	e.variable(codeSym8, len(v))
	e.B = append(e.B, v...)
}

func (e *Encoder) checkASCII(v Symbol) {
	for i := range len(v) {
		if v[i] >= utf8.RuneSelf {
			e.fail("symbol %.40q is not ASCII", string(v))
			return
		}
	}
}

// variable appends the constructor and length of a value of n bytes; the code
// of the wide form is 0x10 above that of the narrow one.
func (e *Encoder) variable(code8 byte, n int) {
	switch {
	case n <= math.MaxUint8:
		e.put8(code8, byte(n))
	case int64(n) <= math.MaxUint32:
		e.B = append(e.B, code8+0x10)
		e.u32(uint32(n))
	default:
		e.fail("value of %d bytes", n)
	}
}

// Descriptor appends the start of a described value.
func (e *Encoder) Descriptor(code uint64) {
	e.B = append(e.B, codeDescribed)
	e.Ulong(code)
}

// open reserves room for the header of a small list, map or array, and
// returns where it starts.
func (e *Encoder) open() int {
	e.B = append(e.B, 0, 0, 0)
	return len(e.B) - 3
}

// close writes the header that open reserved. Contents too long for a one-byte
// size move up by the difference.
func (e *Encoder) close(start int, code8 byte, count int) {
	size := len(e.B) - start - 3
	if size+1 <= math.MaxUint8 && count <= math.MaxUint8 {
		e.B[start], e.B[start+1], e.B[start+2] = code8, byte(size+1), byte(count)
		return
	}
	if int64(size) > math.MaxUint32-4 {
		e.fail("compound value of %d bytes", size)
		return
	}
	e.B = append(e.B, 0, 0, 0, 0, 0, 0)
	copy(e.B[start+9:], e.B[start+3:start+3+size])
	e.B[start] = code8 + 0x10
	binary.BigEndian.PutUint32(e.B[start+1:], uint32(size+4))
	binary.BigEndian.PutUint32(e.B[start+5:], uint32(count))
}

// Symbols appends a field of several symbols: null if there are none, an
// array otherwise.
func (e *Encoder) Symbols(v []Symbol) {
	if len(v) == 0 {
		e.Null()
		return
	}
	start := e.open()
	e.B = append(e.B, codeSym8)
	for i, s := range v {
		e.checkASCII(s)
		if len(s) > math.MaxUint8 {
			e.B = e.B[:start]
			e.symbols32(v)
			return
		}
		e.B = append(e.B, byte(len(v[i])))
		e.B = append(e.B, s...)
	}
	e.close(start, codeArray8, len(v))
}

func (e *Encoder) symbols32(v []Symbol) {
	start := e.open()
	e.B = append(e.B, codeSym32)
	for _, s := range v {
		e.u32(uint32(len(s)))
		e.B = append(e.B, s...)
	}
	e.close(start, codeArray8, len(v))
}

// Fields appends a map with symbols for keys.
func (e *Encoder) Fields(p Fields) {
	start := e.open()
	for i := range p {
		e.Symbol(p[i].Key)
		e.Value(p[i].Value)
	}
	e.close(start, codeMap8, 2*len(p))
}

// Properties appends a map with strings for keys.
func (e *Encoder) Properties(p Pairs[string]) {
	start := e.open()
	for i := range p {
		e.Text(p[i].Key)
		e.Value(p[i].Value)
	}
	e.close(start, codeMap8, 2*len(p))
}

// List appends a list.
func (e *Encoder) List(v []any) {
	if len(v) == 0 {
		e.B = append(e.B, codeList0)
		return
	}
	start := e.open()
	for i := range v {
		e.Value(v[i])
	}
	e.close(start, codeList8, len(v))
}

// Map appends a map.
func (e *Encoder) Map(m Map) {
	start := e.open()
	for i := range m {
		e.Value(m[i].Key)
		e.Value(m[i].Value)
	}
	e.close(start, codeMap8, 2*len(m))
}

// CompositeWriter appends a described list whose trailing absent fields are
// left out [AMQP 1.4].
type CompositeWriter struct {
	e     *Encoder
	start int
	n     int // fields written
	keepN int // fields up to the last that is present
	keep  int // length of the buffer after it
}

// Composite starts a described list.
func (e *Encoder) Composite(code uint64) CompositeWriter {
	e.Descriptor(code)
	start := e.open()
	return CompositeWriter{e: e, start: start, keep: len(e.B)}
}

// Field starts the next field: if present, the caller appends its value with
// the encoder and calls Done; if not, null is written.
func (c *CompositeWriter) Field(present bool) bool {
	c.n++
	if !present {
		c.e.Null()
	}
	return present
}

// Done ends a present field.
func (c *CompositeWriter) Done() { c.keepN, c.keep = c.n, len(c.e.B) }

// Uint is a field of type uint.
func (c *CompositeWriter) Uint(present bool, v uint32) {
	if c.Field(present) {
		c.e.Uint(v)
		c.Done()
	}
}

// Ulong is a field of type ulong.
func (c *CompositeWriter) Ulong(present bool, v uint64) {
	if c.Field(present) {
		c.e.Ulong(v)
		c.Done()
	}
}

// Ushort is a field of type ushort.
func (c *CompositeWriter) Ushort(present bool, v uint16) {
	if c.Field(present) {
		c.e.Ushort(v)
		c.Done()
	}
}

// Ubyte is a field of type ubyte.
func (c *CompositeWriter) Ubyte(present bool, v uint8) {
	if c.Field(present) {
		c.e.Ubyte(v)
		c.Done()
	}
}

// Bool is a field of type boolean.
func (c *CompositeWriter) Bool(present, v bool) {
	if c.Field(present) {
		c.e.Bool(v)
		c.Done()
	}
}

// Time is a field of type timestamp.
func (c *CompositeWriter) Time(present bool, v time.Time) {
	if c.Field(present) {
		c.e.Time(v)
		c.Done()
	}
}

// Text is a field of type string.
func (c *CompositeWriter) Text(present bool, v string) {
	if c.Field(present) {
		c.e.Text(v)
		c.Done()
	}
}

// Symbol is a field of type symbol, absent when empty.
func (c *CompositeWriter) Symbol(v Symbol) {
	if c.Field(v != "") {
		c.e.Symbol(v)
		c.Done()
	}
}

// Symbols is a field of several symbols, absent when there are none.
func (c *CompositeWriter) Symbols(v []Symbol) {
	if c.Field(len(v) > 0) {
		c.e.Symbols(v)
		c.Done()
	}
}

// Binary is a field of type binary.
func (c *CompositeWriter) Binary(present bool, v []byte) {
	if c.Field(present) {
		c.e.Binary(v)
		c.Done()
	}
}

// Fields is a field of type map, absent when empty.
func (c *CompositeWriter) Fields(v Fields) {
	if c.Field(len(v) > 0) {
		c.e.Fields(v)
		c.Done()
	}
}

// Value is a field of any type, absent when nil.
func (c *CompositeWriter) Value(v any) {
	if c.Field(v != nil) {
		c.e.Value(v)
		c.Done()
	}
}

// Whole finishes the list with all its fields, absent ones as null. Frames are
// written so because there are clients that read one as an array of the length that
// the specification lists, such as Azure's for Python.
func (c *CompositeWriter) Whole() {
	c.Done()
	c.e.close(c.start, codeList8, c.n)
}

// End finishes the list.
func (c *CompositeWriter) End() {
	c.e.B = c.e.B[:c.keep]
	if c.keepN == 0 {
		c.e.B = append(c.e.B[:c.start], codeList0)
		return
	}
	c.e.close(c.start, codeList8, c.keepN)
}
