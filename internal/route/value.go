package route

import "math"

// value is what an expression evaluates to. The zero value is undefined. A
// string that is null, which an application property can be outside of this
// program, is the null value with a static type of string.
type value struct {
	kind valueKind
	num  float64 // of numbers; 1 and 0 of bools
	str  string
}

// valueKind orders values of different kinds.
type valueKind uint8

const (
	isUndefined valueKind = iota
	isBool
	isNumber
	isString
	isNull
)

var (
	undefined  = value{}
	nullValue  = value{kind: isNull}
	trueValue  = value{kind: isBool, num: 1}
	falseValue = value{kind: isBool}
)

func boolValue(b bool) value {
	if b {
		return trueValue
	}
	return falseValue
}

// numberValue makes a number; one that is not a number is undefined.
func numberValue(f float64) value {
	if math.IsNaN(f) {
		return undefined
	}
	return value{kind: isNumber, num: f}
}

func stringValue(s string) value { return value{kind: isString, str: s} }

func (v value) isTrue() bool { return v.kind == isBool && v.num != 0 }

func (v value) isFalse() bool { return v.kind == isBool && v.num == 0 }

// compare orders two values of the same kind.
func compare(a, b value) int {
	switch {
	case a.kind == isString:
		return compareUnits(a.str, b.str)
	case a.num < b.num:
		return -1
	case a.num > b.num:
		return 1
	}
	return 0
}

// Result is what a condition comes to: true, false or undefined.
type Result uint8

// The results. Only True routes a message.
const (
	Undefined Result = iota
	False
	True
)

// String is "undefined", "false" or "true".
func (r Result) String() string { return [...]string{"undefined", "false", "true"}[r] }

// result is the Result of a whole condition of value v and static type t. Null
// is false; what is neither null nor bool decides nothing.
func result(v value, t typ) Result {
	switch {
	case t == nullType || v.isFalse():
		return False
	case v.isTrue():
		return True
	}
	return Undefined
}
