package wire

import (
	"math"
	"time"
	"unicode/utf8"
)

// Value decodes the next value, whatever it is; see the package comment for
// the Go type of each.
func (d *Decoder) Value() any {
	c := d.code()
	if c == codeDescribed {
		return d.described()
	}
	return d.body(c)
}

func (d *Decoder) described() any {
	if d.depth++; d.depth > MaxDepth {
		d.Fail(ErrDepth)
	}
	var v Described
	v.Descriptor = d.Value()
	v.Value = d.Value()
	d.depth--
	if d.err != nil {
		return nil
	}
	return v
}

// body decodes what follows format code c.
func (d *Decoder) body(c byte) any {
	switch c {
	case codeNull:
		return nil
	case codeTrue:
		return true
	case codeFalse:
		return false
	case codeBool:
		return d.boolBody()
	case codeBin8:
		return d.take(uint32(d.u8()))
	case codeBin32:
		return d.take(d.u32())
	case codeStr8:
		return d.utf8(uint32(d.u8()))
	case codeStr32:
		return d.utf8(d.u32())
	case codeSym8:
		return d.ascii(uint32(d.u8()))
	case codeSym32:
		return d.ascii(d.u32())
	case codeList0:
		return []any{}
	case codeList8, codeList32:
		return d.list(c == codeList32)
	case codeMap8, codeMap32:
		return d.mapBody(c == codeMap32)
	case codeArray8, codeArray32:
		return d.array(c == codeArray32)
	}
	return d.fixed(c)
}

// fixed decodes the numbers and the other types of fixed width.
func (d *Decoder) fixed(c byte) any {
	switch c {
	case codeUint0:
		return uint32(0)
	case codeUlong0:
		return uint64(0)
	case codeUbyte:
		return d.u8()
	case codeByte:
		return int8(d.u8())
	case codeSmallUint:
		return uint32(d.u8())
	case codeSmallUlong:
		return uint64(d.u8())
	case codeSmallInt:
		return int32(int8(d.u8()))
	case codeSmallLong:
		return int64(int8(d.u8()))
	case codeUshort:
		return d.u16()
	case codeShort:
		return int16(d.u16())
	case codeUint:
		return d.u32()
	case codeInt:
		return int32(d.u32())
	case codeFloat:
		return math.Float32frombits(d.u32())
	case codeUlong:
		return d.u64()
	case codeLong:
		return int64(d.u64())
	case codeDouble:
		return math.Float64frombits(d.u64())
	case codeTimestamp:
		return time.UnixMilli(int64(d.u64())).UTC()
	}
	return d.opaque(c)
}

// opaque decodes the types that are bits to us.
func (d *Decoder) opaque(c byte) any {
	switch c {
	case codeChar:
		return d.char()
	case codeUUID:
		var v UUID
		copy(v[:], d.take(16))
		return v
	case codeDecimal32:
		var v Decimal32
		copy(v[:], d.take(4))
		return v
	case codeDecimal64:
		var v Decimal64
		copy(v[:], d.take(8))
		return v
	case codeDecimal128:
		var v Decimal128
		copy(v[:], d.take(16))
		return v
	}
	d.Fail(ErrCode)
	return nil
}

func (d *Decoder) boolBody() bool {
	v := d.u8()
	if v > 1 {
		d.Fail(ErrType)
	}
	return v == 1
}

func (d *Decoder) char() Char {
	v := d.u32()
	if v > utf8.MaxRune {
		d.Fail(ErrText)
		return 0
	}
	return Char(v)
}

func (d *Decoder) list(wide bool) any {
	n, outer := d.enter(wide)
	v := make([]any, 0, n)
	for range n {
		v = append(v, d.Value())
		if d.err != nil {
			break
		}
	}
	d.leave(outer)
	return v
}

func (d *Decoder) mapBody(wide bool) any {
	n, outer := d.enter(wide)
	if n%2 != 0 {
		d.Fail(ErrOddMap)
	}
	v := make(Map, 0, n/2)
	for range n / 2 {
		v = append(v, MapEntry{d.Value(), d.Value()})
		if d.err != nil {
			break
		}
	}
	d.leave(outer)
	return v
}

// array decodes an array of any element type. Elements without width would
// let a few bytes claim 2^32 of them, so they are refused: every element of
// an array takes at least a byte.
func (d *Decoder) array(wide bool) any {
	n, outer := d.enter(wide)
	var v Array
	c := d.code()
	if c == codeDescribed {
		v.Descriptor = d.Value()
		c = d.code()
	}
	if v.Code = widest(c); c>>4 == 0x4 && n > 0 {
		d.Fail(ErrZeroWidth)
	}
	if n > d.Len() {
		d.Fail(ErrCount)
	}
	if d.err == nil {
		v.Elems = make([]any, 0, n)
		for range n {
			v.Elems = append(v.Elems, d.body(c))
			if d.err != nil {
				break
			}
		}
	}
	d.leave(outer)
	return v
}

// widest returns the format code that can hold any value of c's type.
func widest(c byte) byte {
	switch c {
	case codeTrue, codeFalse:
		return codeBool
	case codeUint0, codeSmallUint:
		return codeUint
	case codeUlong0, codeSmallUlong:
		return codeUlong
	case codeSmallInt:
		return codeInt
	case codeSmallLong:
		return codeLong
	case codeBin8, codeStr8, codeSym8, codeList8, codeMap8, codeArray8:
		return c + 0x10
	case codeList0:
		return codeList32
	}
	return c
}
