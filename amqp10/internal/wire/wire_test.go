package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// vectors holds one encoding for each format code of [AMQP 1.6].
var vectors = []struct {
	name string
	hex  string
	want any
	// canonical is what the encoder writes, if not hex.
	canonical string
}{
	{"null", "40", nil, ""},
	{"true", "41", true, ""},
	{"false", "42", false, ""},
	{"boolean true", "56 01", true, "41"},
	{"boolean false", "56 00", false, "42"},
	{"ubyte", "50 ff", uint8(255), ""},
	{"ushort", "60 ffff", uint16(65535), ""},
	{"uint", "70 ffffffff", uint32(math.MaxUint32), ""},
	{"smalluint", "52 07", uint32(7), ""},
	{"uint0", "43", uint32(0), ""},
	{"ulong", "80 ffffffffffffffff", uint64(math.MaxUint64), ""},
	{"smallulong", "53 07", uint64(7), ""},
	{"ulong0", "44", uint64(0), ""},
	{"byte", "51 80", int8(-128), ""},
	{"short", "61 8000", int16(-32768), ""},
	{"int", "71 80000000", int32(math.MinInt32), ""},
	{"smallint", "54 ff", int32(-1), ""},
	{"long", "81 8000000000000000", int64(math.MinInt64), ""},
	{"smalllong", "55 80", int64(-128), ""},
	{"float", "72 3fc00000", float32(1.5), ""},
	{"double", "82 bff8000000000000", float64(-1.5), ""},
	{"decimal32", "74 22500007", Decimal32{0x22, 0x50, 0, 7}, ""},
	{"decimal64", "84 2234000000000007", Decimal64{0x22, 0x34, 0, 0, 0, 0, 0, 7}, ""},
	{"decimal128", "94 22080000000000000000000000000007", Decimal128{0: 0x22, 1: 0x08, 15: 7}, ""},
	{"char", "73 0001f600", Char('😀'), ""},
	{"timestamp", "83 00000123456789ab", time.UnixMilli(0x123456789ab).UTC(), ""},
	{"timestamp before 1970", "83 ffffffffffffffff", time.UnixMilli(-1).UTC(), ""},
	{"uuid", "98 000102030405060708090a0b0c0d0e0f", UUID{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, ""},
	{"vbin8", "a0 02 beef", []byte{0xbe, 0xef}, ""},
	{"vbin8 empty", "a0 00", []byte{}, ""},
	{"vbin32", "b0 00000002 beef", []byte{0xbe, 0xef}, "a0 02 beef"},
	{"str8-utf8", "a1 03 e282ac", "€", ""},
	{"str32-utf8", "b1 00000003 e282ac", "€", "a1 03 e282ac"},
	{"sym8", "a3 01 61", Symbol("a"), ""},
	{"sym32", "b3 00000001 61", Symbol("a"), "a3 01 61"},
	{"list0", "45", []any{}, ""},
	{"list8", "c0 04 02 41 54 05", []any{true, int32(5)}, ""},
	{"list32", "d0 00000007 00000002 41 54 05", []any{true, int32(5)}, "c0 04 02 41 54 05"},
	{"map8", "c1 07 02 a1 01 6b a1 01 76", Map{{"k", "v"}}, ""},
	{"map32", "d1 0000000a 00000002 a1 01 6b a1 01 76", Map{{"k", "v"}}, "c1 07 02 a1 01 6b a1 01 76"},
	{"empty map", "c1 01 00", Map{}, ""},
	{"array8 of smalluint", "e0 04 02 52 01 02", Array{Code: codeUint, Elems: []any{uint32(1), uint32(2)}}, "e0 0a 02 70 00000001 00000002"},
	{"array32 of sym8", "f0 00000009 00000002 a3 01 61 01 62", Array{Code: codeSym32, Elems: []any{Symbol("a"), Symbol("b")}}, "e0 0c 02 b3 00000001 61 00000001 62"},
	{"array of boolean", "e0 04 02 56 01 00", Array{Code: codeBool, Elems: []any{true, false}}, ""},
	{"array of list8", "e0 07 02 c0 01 00 02 01 40", Array{Code: codeList32, Elems: []any{[]any{}, []any{nil}}}, "e0 13 02 d0 00000004 00000000 00000005 00000001 40"},
	{"array of arrays", "e0 08 01 f0 00000005 00000001", nil, ""}, // cut short: see TestMalformed
	{"array of described", "e0 07 02 00 53 75 50 01 02", Array{Code: codeUbyte, Descriptor: uint64(0x75), Elems: []any{uint8(1), uint8(2)}}, ""},
	{"empty array", "e0 02 00 70", Array{Code: codeUint, Elems: []any{}}, ""},
	{"described", "00 53 24 45", Described{uint64(0x24), []any{}}, ""},
	{"described by a symbol", "00 a3 01 78 41", Described{Symbol("x"), true}, ""},
}

func TestEveryTypeDecodesAndEncodesBack(t *testing.T) {
	for _, tt := range vectors {
		if tt.want == nil && tt.name != "null" {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			d := NewDecoder(unhex(t, tt.hex))
			got := d.Value()
			if d.Err() != nil || d.Len() != 0 {
				t.Fatalf("Value: %v, %d bytes left", d.Err(), d.Len())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Fatalf("Value (-want +got):\n%s", diff)
			}
			want := tt.hex
			if tt.canonical != "" {
				want = tt.canonical
			}
			var e Encoder
			e.Value(got)
			if e.Err() != nil || !bytes.Equal(e.B, unhex(t, want)) {
				t.Errorf("encoded as %x, %v; want %s", e.B, e.Err(), want)
			}
			s := NewDecoder(unhex(t, tt.hex))
			if s.Skip(); s.Err() != nil || s.Len() != 0 {
				t.Errorf("Skip: %v, %d bytes left", s.Err(), s.Len())
			}
		})
	}
}

func TestEveryTypeCutAtEveryByteIsAnError(t *testing.T) {
	for _, tt := range vectors {
		b := unhex(t, tt.hex)
		for n := range b {
			d := NewDecoder(b[:n:n])
			if v := d.Value(); d.Err() == nil {
				t.Errorf("%s cut to %d bytes decodes as %v", tt.name, n, v)
			}
		}
	}
}

func TestGoConveniencesEncode(t *testing.T) {
	for _, tt := range []struct {
		v    any
		want any
	}{
		{7, int64(7)},
		{uint(1 << 30), uint64(1 << 30)},
		{[]Symbol{"a", "b"}, Array{Code: codeSym32, Elems: []any{Symbol("a"), Symbol("b")}}},
		{[]string{"a"}, Array{Code: codeStr32, Elems: []any{"a"}}},
		{Fields{{"k", "v"}}, Map{{Symbol("k"), "v"}}},
		{Pairs[string]{{"k", int64(1)}}, Map{{"k", int64(1)}}},
		{strings.Repeat("x", 300), strings.Repeat("x", 300)},
		{[]any{strings.Repeat("x", 300)}, []any{strings.Repeat("x", 300)}},
		{make([]any, 256), make([]any, 256)},
		{Array{}, Array{Code: codeNull, Elems: []any{}}},
		{Array{Elems: []any{Map{{"a", "b"}}, Map{{"c", strings.Repeat("x", 300)}}}},
			Array{Code: codeMap32, Elems: []any{Map{{"a", "b"}}, Map{{"c", strings.Repeat("x", 300)}}}}},
		{Array{Elems: []any{Array{Elems: []any{1.5}}}},
			Array{Code: codeArray32, Elems: []any{Array{Code: codeDouble, Elems: []any{1.5}}}}},
	} {
		var e Encoder
		e.Value(tt.v)
		d := NewDecoder(e.B)
		got := d.Value()
		if e.Err() != nil || d.Err() != nil || d.Len() != 0 {
			t.Errorf("%v: encode %v, decode %v", tt.v, e.Err(), d.Err())
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%T (-want +got):\n%s", tt.v, diff)
		}
	}
}

func TestUnencodableValuesAreErrors(t *testing.T) {
	for _, v := range []any{struct{}{}, make(chan int), map[string]string{}, Array{Elems: []any{1, "a"}}, Array{Elems: []any{nil}}} {
		var e Encoder
		if e.Value(v); e.Err() == nil {
			t.Errorf("%T encoded as %x", v, e.B)
		}
	}
}

func TestMalformed(t *testing.T) {
	for _, tt := range []struct {
		name, hex string
		want      error
	}{
		{"nothing", "", ErrShort},
		{"unknown code", "3f", ErrCode},
		{"unknown code of known width", "5f 00", ErrCode},
		{"boolean 2", "56 02", ErrType},
		{"char above Unicode", "73 00110000", ErrText},
		{"string not UTF-8", "a1 01 ff", ErrText},
		{"symbol not ASCII", "a3 01 80", ErrSymbol},
		{"A4 list count 2^32-1", "d0 00000005 ffffffff 40", ErrCount},
		{"A4 list size 2^32-1", "d0 ffffffff 00000000", ErrShort},
		{"A4 string of 4 GiB", "b1 ffffffff 61", ErrShort},
		{"A4 binary of 2 GiB", "b0 7fffffff 61", ErrShort},
		{"A4 array of 2^31 nulls", "f0 00000005 80000000 40", ErrCount},
		{"A4 array of 1 null", "e0 02 01 40", ErrZeroWidth},
		{"A4 array of 1 empty list", "e0 02 01 45", ErrZeroWidth},
		{"A4 odd map", "c1 02 01 40", ErrOddMap},
		{"A4 list size past its parent", "c0 05 01 c0 05 01 40", ErrShort},
		{"A4 list size short of its contents", "c0 02 01 52 07", ErrShort},
		{"A4 list size beyond its contents", "c0 03 01 40 40", ErrSize},
		{"A4 list size 0", "c0 00 00", ErrShort},
		{"array of unknown", "e0 03 01 3f 00", ErrCode},
		{"array of arrays cut short", "e0 08 01 f0 00000005 00000001", ErrShort},
		{"described without value", "00 53 24", ErrShort},
	} {
		d := NewDecoder(unhex(t, tt.hex))
		if v := d.Value(); !errors.Is(d.Err(), tt.want) {
			t.Errorf("%s: got %v, error %v, want %v", tt.name, v, d.Err(), tt.want)
		}
	}
}

// nested returns n levels of open, around a null.
func nested(n int, open func(inner []byte) []byte) []byte {
	b := []byte{codeNull}
	for range n {
		b = open(b)
	}
	return b
}

func wrap32(code byte, prefix ...byte) func([]byte) []byte {
	return func(inner []byte) []byte {
		n := 4 + len(prefix) + len(inner)
		b := []byte{code, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n), 0, 0, 0, 1}
		if code == codeMap32 {
			b[8] = 2
		}
		return append(append(b, prefix...), inner...)
	}
}

func TestA3_NestingEndsAt32(t *testing.T) {
	for name, open := range map[string]func([]byte) []byte{
		"list":      wrap32(codeList32),
		"map":       wrap32(codeMap32, codeNull),
		"described": func(b []byte) []byte { return append([]byte{codeDescribed, codeUlong0}, b...) },
	} {
		d := NewDecoder(nested(MaxDepth, open))
		if d.Value(); d.Err() != nil {
			t.Errorf("%s: %d levels: %v", name, MaxDepth, d.Err())
		}
		d = NewDecoder(nested(MaxDepth+1, open))
		if d.Value(); d.Err() != ErrDepth {
			t.Errorf("%s: %d levels: %v", name, MaxDepth+1, d.Err())
		}
	}
	b := []byte{codeArray32, 0, 0, 0, 0, 0, 0, 0, 1} // arrays of arrays, the sizes too short
	d := NewDecoder(bytes.Repeat(b, MaxDepth+2))
	if d.Value(); d.Err() == nil {
		t.Error("arrays without end decode")
	}
}

func TestA3_DeepNestingCostsNothing(t *testing.T) {
	for name, b := range map[string][]byte{
		"described": bytes.Repeat([]byte{codeDescribed}, 6<<20),
		"list":      bytes.Repeat([]byte{codeList8, 0xff, 1}, 2<<20),
		"list32":    bytes.Repeat([]byte{codeList32, 0, 0x3f, 0xff, 0xf0, 0, 0, 0, 1}, 256<<10/9),
	} {
		least := time.Hour // of several runs, for other programs have the processor at times
		for range 10 {
			start := time.Now()
			d := NewDecoder(b)
			if d.Value(); d.Err() == nil {
				t.Errorf("%s decodes", name)
			}
			d = NewDecoder(b)
			d.Skip()
			least = min(least, time.Since(start))
		}
		if least > 10*time.Millisecond {
			t.Errorf("%s: %d bytes took %v", name, len(b), least)
		}
	}
}

// allocated returns the bytes that f allocates: the least of several runs, for
// the runtime may allocate at the same time.
func allocated(f func()) uint64 {
	least := uint64(math.MaxUint64)
	for range 10 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}

// TestA4_AllocationIsProportionalToBytes: 30 bytes that claim 4 GiB allocate
// next to nothing.
func TestA4_AllocationIsProportionalToBytes(t *testing.T) {
	for _, claim := range []string{
		"d0 fffffff0 fffffff0 4040404040404040404040404040404040404040",
		"f0 00000016 ffffffff 4040404040404040404040404040404040404040",
		"f0 00000016 00000011 b0 ffffffff 00000000000000000000000000000000",
		"b1 ffffffff 6161616161616161616161616161616161616161616161616161",
		"d1 00000016 00000012 4040404040404040404040404040404040404040",
	} {
		b := unhex(t, claim)
		if got := allocated(func() {
			d := NewDecoder(b)
			d.Value()
		}); got > uint64(32*len(b)) {
			t.Errorf("%d bytes (%s) allocate %d", len(b), claim[:20], got)
		}
	}
}

func TestCompositeFieldsThatAreAbsent(t *testing.T) {
	var e Encoder
	c := e.Composite(0x10)
	c.Text(true, "id")
	c.Uint(false, 0)
	c.Symbols(nil)
	c.End()
	if want := unhex(t, "00 53 10 c0 05 01 a1 02 6964"); !bytes.Equal(e.B, want) {
		t.Errorf("trailing nulls are kept: %x", e.B)
	}
	e = Encoder{}
	c = e.Composite(0x24)
	c.Uint(false, 0)
	c.End()
	if want := unhex(t, "00 53 24 45"); !bytes.Equal(e.B, want) {
		t.Errorf("empty composite is %x", e.B)
	}
	d := NewDecoder(unhex(t, "c0 06 04 40 52 05 40 41")) // one field more than we know
	l := d.Composite()
	if l.Next() {
		t.Error("null field is present")
	}
	if !l.Next() || d.Uint() != 5 {
		t.Error("second field is not 5")
	}
	if l.End(); d.Err() != nil || d.Len() != 0 {
		t.Errorf("End: %v, %d left", d.Err(), d.Len())
	}
	d = NewDecoder(unhex(t, "c0 02 01 40"))
	l = d.Composite()
	if l.Must(); d.Err() != ErrMissing {
		t.Errorf("null in a mandatory field: %v", d.Err())
	}
}

func TestPairs(t *testing.T) {
	f := Fields{{"a", "x"}, {"b", Symbol("y")}}
	f.Set("a", int64(1))
	f.Set("c", true)
	if v, ok := f.Get("a"); !ok || v != int64(1) {
		t.Errorf("a is %v", v)
	}
	if f.Text("b") != "y" || f.Text("a") != "" || f.Text("none") != "" || len(f) != 3 {
		t.Errorf("fields are %v", f)
	}
	m := Map{{[]byte("k"), 1}, {"k", 2}}
	if v, ok := m.Get("k"); !ok || v != 2 {
		t.Errorf("k is %v", v)
	}
}

func TestUUIDText(t *testing.T) {
	const s = "00010203-0405-0607-0809-0a0b0c0d0eff"
	u, err := ParseUUID(s)
	if err != nil || u.String() != s {
		t.Errorf("%v, %v", u, err)
	}
	for _, bad := range []string{"", s[1:], strings.ReplaceAll(s, "-", "x"), "g" + s[1:]} {
		if _, err := ParseUUID(bad); err == nil {
			t.Errorf("%q parses", bad)
		}
	}
}

// FuzzValue_A16 holds that whatever decodes, encodes to something that decodes
// to the same, and that Skip agrees with Value about lengths.
func FuzzValue_A16(f *testing.F) {
	for _, tt := range vectors {
		f.Add(unhex(f, tt.hex))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d := NewDecoder(b)
		v := d.Value()
		if d.Err() != nil {
			return
		}
		s := NewDecoder(b)
		if s.Skip(); s.Err() != nil || s.Offset() != d.Offset() {
			t.Fatalf("Skip stops at %d (%v), Value at %d", s.Offset(), s.Err(), d.Offset())
		}
		var e Encoder
		if e.Value(v); e.Err() != nil {
			t.Fatalf("decoded value does not encode: %v", e.Err())
		}
		again := NewDecoder(e.B)
		w := again.Value()
		var e2 Encoder
		if e2.Value(w); again.Err() != nil || !bytes.Equal(e.B, e2.B) {
			t.Fatalf("encodes to %x and then to %x (%v)", e.B, e2.B, again.Err())
		}
	})
}
