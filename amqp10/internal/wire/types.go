package wire

import (
	"encoding/hex"
	"errors"
)

// Symbol is an AMQP symbol: a name from a constrained domain, in ASCII.
type Symbol string

// Char is one Unicode character [AMQP 1.6.16].
type Char rune

// UUID is an RFC 4122 identifier, in network order [AMQP 1.6.18].
type UUID [16]byte

// String is the usual form, 8-4-4-4-12 hex digits.
func (u UUID) String() string {
	var b [36]byte
	hex.Encode(b[0:8], u[0:4])
	hex.Encode(b[9:13], u[4:6])
	hex.Encode(b[14:18], u[6:8])
	hex.Encode(b[19:23], u[8:10])
	hex.Encode(b[24:36], u[10:16])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return string(b[:])
}

// ParseUUID reads what [UUID.String] writes, in either case.
func ParseUUID(s string) (UUID, error) {
	var u UUID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return u, errors.New("uuid is not 8-4-4-4-12 hex digits")
	}
	_, err := hex.Decode(u[:], []byte(s[0:8]+s[9:13]+s[14:18]+s[19:23]+s[24:36]))
	return u, err
}

// Decimal32, Decimal64 and Decimal128 are IEEE 754-2008 decimals in network
// order. They are passed through, bit for bit.
type (
	Decimal32  [4]byte
	Decimal64  [8]byte
	Decimal128 [16]byte
)

// Described is a value with a descriptor that says what it means [AMQP 1.2].
// The descriptor is a Symbol or a uint64, by the specification.
type Described struct {
	Descriptor any
	Value      any
}

// Map is an AMQP map in the order of the wire: maps are to be considered
// ordered [AMQP 1.6.23].
type Map []MapEntry

// MapEntry is one key and its value.
type MapEntry struct{ Key, Value any }

// Get returns the value of the first entry whose key equals key.
func (m Map) Get(key any) (any, bool) {
	for i := range m {
		if comparable(m[i].Key) && m[i].Key == key {
			return m[i].Value, true
		}
	}
	return nil, false
}

// comparable keeps Get from the panic of comparing slices in interfaces.
func comparable(v any) bool {
	switch v.(type) {
	case []byte, []any, Map, Array, Described:
		return false
	}
	return true
}

// Array is a sequence of values of one type [AMQP 1.6.24].
type Array struct {
	// Code is the widest format code of the element type, e.g. 0x70 for uint.
	// Zero lets the encoder take it from the first element.
	Code byte
	// Descriptor is not nil when the elements are described by it.
	Descriptor any
	Elems      []any
}

// Field is one entry of [Fields].
type Field = Pair[Symbol]

// Fields is a map with symbols for keys, in wire order: annotations, filters,
// and the properties of connections, sessions and links [AMQP 2.8.13, 3.2.10].
type Fields = Pairs[Symbol]

// Pair is a key and its value.
type Pair[K ~string] struct {
	Key   K
	Value any
}

// Pairs is a map with text for keys, in wire order. A handful of entries in a
// slice is smaller than a Go map, and quicker to search.
type Pairs[K ~string] []Pair[K]

// Get returns the value of key, and whether it was there.
func (p Pairs[K]) Get(key K) (any, bool) {
	for i := range p {
		if p[i].Key == key {
			return p[i].Value, true
		}
	}
	return nil, false
}

// Text returns the string or symbol at key, or "" if there is none.
func (p Pairs[K]) Text(key K) string {
	switch v, _ := p.Get(key); v := v.(type) {
	case string:
		return v
	case Symbol:
		return string(v)
	}
	return ""
}

// Set replaces the value of key, or adds it at the end.
func (p *Pairs[K]) Set(key K, v any) {
	for i := range *p {
		if (*p)[i].Key == key {
			(*p)[i].Value = v
			return
		}
	}
	*p = append(*p, Pair[K]{key, v})
}
