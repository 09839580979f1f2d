package query

import (
	"encoding/json"
	"math"
	"strconv"

	"sluice/internal/twin"
)

type kind uint8

// The kinds of values. The zero value is undefined.
const (
	undefined kind = iota
	null
	boolean
	number
	text
	array
	object
)

// A value is what an expression has for one row.
type value struct {
	kind kind
	bool bool
	num  float64
	str  string
	// origin is the value in the row that this one is. It is shown as it was
	// written; arrays and objects are nothing else.
	origin twin.Value
}

func boolOf(b bool) value   { return value{kind: boolean, bool: b} }
func textOf(s string) value { return value{kind: text, str: s} }

// numberOf is undefined for what is no number: 1/0, SQRT(-1).
func numberOf(n float64) value {
	if math.IsNaN(n) || math.IsInf(n, 0) {
		return value{}
	}
	return value{kind: number, num: n}
}

var kinds = [...]kind{twin.Null: null, twin.Bool: boolean, twin.Number: number, twin.String: text, twin.Array: array, twin.Object: object}

// fromRow is a value of a row. A number beyond the range of numbers, which other
// JSON than twins may have, is undefined.
func fromRow(v twin.Value) value {
	got := value{kind: kinds[v.Kind()], origin: v}
	switch got.kind {
	case boolean:
		got.bool = v.Text() == "true"
	case text:
		got.str = v.Text()
	case number:
		n, err := strconv.ParseFloat(v.Text(), 64)
		if err != nil {
			return value{}
		}
		got.num = n
	}
	return got
}

// isTrue reports whether a condition with the value v holds.
func (v value) isTrue() bool { return v.kind == boolean && v.bool }

// compare orders two values of one primitive kind. Others have no order, and
// null is equal to null alone.
func compare(a, b value) (order int, ok bool) {
	if a.kind != b.kind {
		return 0, false
	}
	switch a.kind {
	case null:
		return 0, true
	case boolean:
		return order3(!a.bool && b.bool, a.bool == b.bool), true
	case number:
		return order3(a.num < b.num, a.num == b.num), true
	case text:
		return order3(a.str < b.str, a.str == b.str), true
	}
	return 0, false
}

func order3(less, equal bool) int {
	switch {
	case less:
		return -1
	case equal:
		return 0
	}
	return 1
}

// appendJSON writes v, which is defined.
func (v value) appendJSON(b []byte) []byte {
	switch {
	case v.origin != twin.Value{}:
		return v.origin.AppendJSON(b)
	case v.kind == boolean:
		return strconv.AppendBool(b, v.bool)
	case v.kind == number:
		return appendNumber(b, v.num)
	case v.kind == text:
		return twin.StringValue(v.str).AppendJSON(b)
	}
	return append(b, "null"...)
}

// appendKey writes what is the same for equal values: a number however it was
// written. Undefined is nothing.
func (v value) appendKey(b []byte) []byte {
	switch v.kind {
	case undefined:
		return b
	case number:
		return appendNumber(b, v.num)
	}
	return v.appendJSON(b)
}

// appendNumber writes whole numbers without exponent as far as they are exact.
func appendNumber(b []byte, n float64) []byte {
	if n == math.Trunc(n) && math.Abs(n) < 1<<53 {
		return strconv.AppendInt(b, int64(n), 10)
	}
	text, err := json.Marshal(n)
	if err != nil {
		return append(b, "null"...) // not a number; numberOf lets none through
	}
	return append(b, text...)
}
