package wire

import "time"

// Uint decodes a uint.
func (d *Decoder) Uint() uint32 {
	switch d.code() {
	case codeUint0:
		return 0
	case codeSmallUint:
		return uint32(d.u8())
	case codeUint:
		return d.u32()
	}
	d.Fail(ErrType)
	return 0
}

// Ulong decodes a ulong.
func (d *Decoder) Ulong() uint64 {
	switch d.code() {
	case codeUlong0:
		return 0
	case codeSmallUlong:
		return uint64(d.u8())
	case codeUlong:
		return d.u64()
	}
	d.Fail(ErrType)
	return 0
}

// Ushort decodes a ushort.
func (d *Decoder) Ushort() uint16 {
	if d.code() == codeUshort {
		return d.u16()
	}
	d.Fail(ErrType)
	return 0
}

// Ubyte decodes a ubyte.
func (d *Decoder) Ubyte() uint8 {
	if d.code() == codeUbyte {
		return d.u8()
	}
	d.Fail(ErrType)
	return 0
}

// Bool decodes a boolean.
func (d *Decoder) Bool() bool {
	switch d.code() {
	case codeTrue:
		return true
	case codeFalse:
		return false
	case codeBool:
		return d.boolBody()
	}
	d.Fail(ErrType)
	return false
}

// Time decodes a timestamp.
func (d *Decoder) Time() time.Time {
	if d.code() == codeTimestamp {
		return time.UnixMilli(int64(d.u64())).UTC()
	}
	d.Fail(ErrType)
	return time.Time{}
}

// Binary decodes a binary, aliasing the input.
func (d *Decoder) Binary() []byte {
	switch d.code() {
	case codeBin8:
		return d.take(uint32(d.u8()))
	case codeBin32:
		return d.take(d.u32())
	}
	d.Fail(ErrType)
	return nil
}

// Text decodes a string, or a symbol, which some peers write instead.
func (d *Decoder) Text() string {
	switch d.code() {
	case codeStr8:
		return d.utf8(uint32(d.u8()))
	case codeStr32:
		return d.utf8(d.u32())
	case codeSym8:
		return string(d.ascii(uint32(d.u8())))
	case codeSym32:
		return string(d.ascii(d.u32()))
	}
	d.Fail(ErrType)
	return ""
}

// Symbol decodes a symbol, or a string, which some peers write instead.
func (d *Decoder) Symbol() Symbol { return Symbol(d.Text()) }

// Symbols decodes a field that may hold several symbols: an array of them, or
// one alone [AMQP 1.4, multiple].
func (d *Decoder) Symbols() []Symbol {
	if d.off < d.end && (d.b[d.off] == codeArray8 || d.b[d.off] == codeArray32) {
		return d.symbolArray(d.code() == codeArray32)
	}
	return []Symbol{d.Symbol()}
}

func (d *Decoder) symbolArray(wide bool) []Symbol {
	n, outer := d.enter(wide)
	c := d.code()
	var v []Symbol
	switch {
	case c != codeSym8 && c != codeSym32:
		d.Fail(ErrType)
	case n > d.Len():
		d.Fail(ErrCount)
	default:
		v = make([]Symbol, 0, n)
	}
	for range n {
		if d.err != nil {
			break
		}
		if c == codeSym8 {
			v = append(v, d.ascii(uint32(d.u8())))
		} else {
			v = append(v, d.ascii(d.u32()))
		}
	}
	d.leave(outer)
	return v
}

// List decodes a list of values.
func (d *Decoder) List() []any {
	v, ok := d.Value().([]any)
	if !ok {
		d.Fail(ErrType)
	}
	return v
}

// DecodePairs decodes a map whose keys are strings or symbols. Other keys are
// an error: the ulong keys of annotations are reserved [AMQP 3.2.10]. boxes may be
// nil.
func DecodePairs[K ~string](d *Decoder, boxes *Boxes) Pairs[K] {
	c := d.code()
	if c != codeMap8 && c != codeMap32 {
		d.Fail(ErrType)
		return nil
	}
	n, outer := d.enter(c == codeMap32)
	if n%2 != 0 {
		d.Fail(ErrOddMap)
	}
	p := make(Pairs[K], 0, n/2)
	for range n / 2 {
		if d.err != nil {
			break
		}
		p = append(p, Pair[K]{Key: K(d.Text())})
		boxes.Value(d, &p[len(p)-1].Value)
	}
	d.leave(outer)
	return p
}

// Descriptor decodes the constructor of a described value and returns its
// numeric code. Symbolic descriptors are looked up with names.
func (d *Decoder) Descriptor(names func(Symbol) uint64) uint64 {
	if d.code() != codeDescribed {
		d.Fail(ErrType)
		return 0
	}
	switch d.code() {
	case codeSmallUlong:
		return uint64(d.u8())
	case codeUlong:
		return d.u64()
	case codeUlong0:
		return 0
	case codeSym8:
		return names(d.ascii(uint32(d.u8())))
	case codeSym32:
		return names(d.ascii(d.u32()))
	}
	d.Fail(ErrType)
	return 0
}

// Composite reads the fields of a described list in order [AMQP 1.4]. A field
// that is null, or that the list is too short to have, is absent; fields that
// we do not know, after the last, are passed over.
type Composite struct {
	d     *Decoder
	left  int
	outer scope
	empty bool
}

// Composite starts to read a list of fields.
func (d *Decoder) Composite() Composite {
	switch c := d.code(); c {
	case codeList0:
		return Composite{d: d, empty: true}
	case codeList8, codeList32:
		n, outer := d.enter(c == codeList32)
		return Composite{d: d, left: n, outer: outer}
	}
	d.Fail(ErrType)
	return Composite{d: d, empty: true}
}

// Next reports whether the next field is there. If so, the caller decodes it;
// if not, it has been passed over.
func (c *Composite) Next() bool {
	if c.left == 0 || c.d.err != nil {
		return false
	}
	c.left--
	return !c.d.Null()
}

// Must is Next for a mandatory field, whose absence is an error.
func (c *Composite) Must() bool {
	if c.Next() {
		return true
	}
	c.d.Fail(ErrMissing)
	return false
}

// End passes over the fields that are left.
func (c *Composite) End() {
	for ; c.left > 0 && c.d.err == nil; c.left-- {
		c.d.Skip()
	}
	if !c.empty {
		c.d.leave(c.outer)
	}
}
