package wire

import (
	"encoding/binary"
	"math"
	"time"
)

// Value appends v; see the package comment for the types it may have.
func (e *Encoder) Value(v any) {
	switch v := v.(type) {
	case nil:
		e.Null()
	case bool:
		e.Bool(v)
	case string:
		e.Text(v)
	case Symbol:
		e.Symbol(v)
	case []byte:
		e.Binary(v)
	case uint32:
		e.Uint(v)
	case uint64:
		e.Ulong(v)
	case int32:
		e.Int(v)
	case int64:
		e.Long(v)
	case int:
		e.Long(int64(v))
	case uint:
		e.Ulong(uint64(v))
	default:
		e.compound(v)
	}
}

func (e *Encoder) compound(v any) {
	switch v := v.(type) {
	case []any:
		e.List(v)
	case Map:
		e.Map(v)
	case Fields:
		e.Fields(v)
	case Pairs[string]:
		e.Properties(v)
	case Described:
		e.B = append(e.B, codeDescribed)
		e.Value(v.Descriptor)
		e.Value(v.Value)
	case Array:
		e.array(v)
	case []Symbol:
		e.array(Array{Code: codeSym32, Elems: boxed(v)})
	case []string:
		e.array(Array{Code: codeStr32, Elems: boxed(v)})
	default:
		c := codeOf(v)
		if c == 0 {
			e.fail("no AMQP type for a %T", v)
			return
		}
		e.B = append(e.B, c)
		e.wide(v)
	}
}

func boxed[T any](v []T) []any {
	b := make([]any, len(v))
	for i := range v {
		b[i] = v[i]
	}
	return b
}

// codeOf returns the widest format code of v's type, or 0 if it has none.
func codeOf(v any) byte {
	switch v.(type) {
	case bool:
		return codeBool
	case uint8:
		return codeUbyte
	case int8:
		return codeByte
	case uint16:
		return codeUshort
	case int16:
		return codeShort
	case uint32:
		return codeUint
	case int32:
		return codeInt
	case uint64, uint:
		return codeUlong
	case int64, int:
		return codeLong
	case float32:
		return codeFloat
	case float64:
		return codeDouble
	case Char:
		return codeChar
	case time.Time:
		return codeTimestamp
	}
	return codeOfWide(v)
}

func codeOfWide(v any) byte {
	switch v.(type) {
	case UUID:
		return codeUUID
	case Decimal32:
		return codeDecimal32
	case Decimal64:
		return codeDecimal64
	case Decimal128:
		return codeDecimal128
	case []byte:
		return codeBin32
	case string:
		return codeStr32
	case Symbol:
		return codeSym32
	case []any:
		return codeList32
	case Map, Fields, Pairs[string]:
		return codeMap32
	case Array, []Symbol, []string:
		return codeArray32
	}
	return 0
}

// wide appends the body of v for the code that codeOf gives.
func (e *Encoder) wide(v any) {
	switch v := v.(type) {
	case bool:
		if v {
			e.B = append(e.B, 1)
		} else {
			e.B = append(e.B, 0)
		}
	case uint8:
		e.B = append(e.B, v)
	case int8:
		e.B = append(e.B, byte(v))
	case uint16:
		e.B = binary.BigEndian.AppendUint16(e.B, v)
	case int16:
		e.B = binary.BigEndian.AppendUint16(e.B, uint16(v))
	case uint32:
		e.u32(v)
	case int32:
		e.u32(uint32(v))
	case uint64:
		e.u64(v)
	case uint:
		e.u64(uint64(v))
	case int64:
		e.u64(uint64(v))
	case int:
		e.u64(uint64(int64(v)))
	case float32:
		e.u32(math.Float32bits(v))
	case float64:
		e.u64(math.Float64bits(v))
	case Char:
		e.u32(uint32(v))
	case time.Time:
		e.u64(uint64(v.UnixMilli()))
	default:
		e.wideBytes(v)
	}
}

func (e *Encoder) wideBytes(v any) {
	switch v := v.(type) {
	case UUID:
		e.B = append(e.B, v[:]...)
	case Decimal32:
		e.B = append(e.B, v[:]...)
	case Decimal64:
		e.B = append(e.B, v[:]...)
	case Decimal128:
		e.B = append(e.B, v[:]...)
	case []byte:
		e.u32(uint32(len(v)))
		e.B = append(e.B, v...)
	case string:
		e.u32(uint32(len(v)))
		e.B = append(e.B, v...)
	case Symbol:
		e.u32(uint32(len(v)))
		e.B = append(e.B, v...)
	default:
		e.wideCompound(v)
	}
}

// wideCompound appends a list, map or array as an element of an array: its
// shortest form, of which the header is then widened.
func (e *Encoder) wideCompound(v any) {
	start := len(e.B)
	e.Value(v)
	if e.err != nil {
		return
	}
	switch b := e.B[start:]; b[0] {
	case codeList0:
		e.B = append(e.B[:start], 0, 0, 0, 4, 0, 0, 0, 0)
	case codeList8, codeMap8, codeArray8:
		size, count := b[1], b[2]
		e.B = append(e.B, 0, 0, 0, 0, 0)
		copy(e.B[start+8:], e.B[start+3:])
		binary.BigEndian.PutUint32(e.B[start:], uint32(size)+3)
		binary.BigEndian.PutUint32(e.B[start+4:], uint32(count))
	default:
		e.B = append(e.B[:start], b[1:]...)
	}
}

func (e *Encoder) array(a Array) {
	if a.Code == 0 && len(a.Elems) > 0 {
		a.Code = codeOf(a.Elems[0])
	}
	if a.Code == 0 {
		a.Code = codeNull
	}
	start := e.open()
	if a.Descriptor != nil {
		e.B = append(e.B, codeDescribed)
		e.Value(a.Descriptor)
	}
	e.B = append(e.B, a.Code)
	for i := range a.Elems {
		if codeOf(a.Elems[i]) != a.Code {
			e.fail("array of code %#x has an element of type %T", a.Code, a.Elems[i])
			return
		}
		e.wide(a.Elems[i])
	}
	e.close(start, codeArray8, len(a.Elems))
}
