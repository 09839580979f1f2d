// Package wire encodes and decodes the AMQP 1.0 type system (OASIS AMQP 1.0,
// part 1).
//
// A [Decoder] walks bytes from an untrusted peer. It never allocates from a
// length or a count before the bytes that back it have been seen, so what it
// allocates is bounded by a constant times the bytes received; it refuses
// values nested deeper than [MaxDepth]; and its first error sticks, so that a
// caller checks once, at the end. An [Encoder] appends to a buffer of the
// caller's and allocates nothing else.
//
// AMQP values and the Go values they decode to:
//
//	null                      nil
//	boolean                   bool
//	ubyte ushort uint ulong   uint8 uint16 uint32 uint64
//	byte short int long       int8 int16 int32 int64
//	float double              float32 float64
//	decimal32/64/128          Decimal32 Decimal64 Decimal128 (bits passed through)
//	char                      Char
//	timestamp                 time.Time (UTC, milliseconds)
//	uuid                      UUID
//	binary                    []byte (aliases the input)
//	string symbol             string Symbol
//	list                      []any
//	map                       Map (in wire order)
//	array                     Array
//	described value           Described
//
// The encoder takes the same, and int, uint, []Symbol, []string and [Fields]
// for convenience.
package wire

import (
	"errors"
	"fmt"
)

// MaxDepth is the number of lists, maps, arrays and descriptors that may stand
// inside each other.
const MaxDepth = 32

// What can be wrong with encoded bytes. A Decoder returns these themselves,
// so that hostile input costs no allocation.
var (
	ErrShort     = errors.New("value is cut short")
	ErrDepth     = fmt.Errorf("values nest deeper than %d", MaxDepth)
	ErrCode      = errors.New("unknown format code")
	ErrType      = errors.New("value has the wrong type")
	ErrCount     = errors.New("count does not fit the size")
	ErrSize      = errors.New("size does not fit the contents")
	ErrOddMap    = errors.New("map has a key without a value")
	ErrZeroWidth = errors.New("array of elements without width")
	ErrText      = errors.New("string is not UTF-8")
	ErrSymbol    = errors.New("symbol is not ASCII")
	ErrMissing   = errors.New("mandatory field is missing")
	ErrTrailing  = errors.New("bytes follow the value")
)

// Format codes [AMQP 1.6].
const (
	codeDescribed  = 0x00
	codeNull       = 0x40
	codeTrue       = 0x41
	codeFalse      = 0x42
	codeUint0      = 0x43
	codeUlong0     = 0x44
	codeList0      = 0x45
	codeUbyte      = 0x50
	codeByte       = 0x51
	codeSmallUint  = 0x52
	codeSmallUlong = 0x53
	codeSmallInt   = 0x54
	codeSmallLong  = 0x55
	codeBool       = 0x56
	codeUshort     = 0x60
	codeShort      = 0x61
	codeUint       = 0x70
	codeInt        = 0x71
	codeFloat      = 0x72
	codeChar       = 0x73
	codeDecimal32  = 0x74
	codeUlong      = 0x80
	codeLong       = 0x81
	codeDouble     = 0x82
	codeTimestamp  = 0x83
	codeDecimal64  = 0x84
	codeDecimal128 = 0x94
	codeUUID       = 0x98
	codeBin8       = 0xa0
	codeStr8       = 0xa1
	codeSym8       = 0xa3
	codeBin32      = 0xb0
	codeStr32      = 0xb1
	codeSym32      = 0xb3
	codeList8      = 0xc0
	codeMap8       = 0xc1
	codeList32     = 0xd0
	codeMap32      = 0xd1
	codeArray8     = 0xe0
	codeArray32    = 0xf0
)
