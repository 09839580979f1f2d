package route

import (
	"math"
	"strings"
)

// form is one way to call a function.
type form struct {
	params []typ
	more   bool // the last parameter may be repeated
	result typ
	make   func(args []arg) evalFunc
}

// arg is an argument of a call.
type arg struct {
	typ  typ // static
	eval evalFunc
}

// takes reports whether the arguments fit. A body value fits wherever a number
// or a string is wanted, and is checked when a message is there.
func (fm form) takes(args []*expr) bool {
	if len(args) < len(fm.params) || len(args) > len(fm.params) && !fm.more {
		return false
	}
	for i, a := range args {
		want := fm.params[min(i, len(fm.params)-1)]
		if want != anyType && a.typ != want && a.typ != bodyType {
			return false
		}
	}
	return true
}

// arguments makes values of the right kind or undefined of what a body brings.
func arguments(args []*expr, fm form) []arg {
	out := make([]arg, len(args))
	for i, a := range args {
		out[i] = arg{a.typ, a.eval}
		want := fm.params[min(i, len(fm.params)-1)]
		if a.typ == bodyType && want != anyType {
			out[i].eval = only(kindOf(want), a.eval)
		}
	}
	return out
}

func kindOf(t typ) valueKind {
	if t == numberType {
		return isNumber
	}
	return isString
}

func only(k valueKind, eval evalFunc) evalFunc {
	return func(f *frame) value {
		if v := eval(f); v.kind == k {
			return v
		}
		return undefined
	}
}

// functions are the built-in functions. The forms of one are tried in order.
var functions = map[string][]form{
	"abs":         numeric(math.Abs),
	"exp":         numeric(math.Exp),
	"square":      numeric(func(x float64) float64 { return x * x }),
	"ceiling":     numeric(math.Ceil),
	"floor":       numeric(math.Floor),
	"sign":        numeric(sign),
	"sqrt":        numeric(math.Sqrt),
	"power":       {{params: []typ{numberType, numberType}, result: numberType, make: power}},
	"as_number":   {{params: []typ{numberType}, result: numberType, make: asNumber}, {params: []typ{stringType}, result: numberType, make: asNumber}},
	"is_bool":     tests(isBoolean),
	"is_number":   tests(isFinite),
	"is_string":   tests(isText),
	"is_defined":  tests(isDefined),
	"is_null":     tests(isNothing),
	"concat":      {{params: []typ{stringType, stringType}, more: true, result: stringType, make: concat}},
	"length":      {{params: []typ{stringType}, result: numberType, make: length}},
	"lower":       {{params: []typ{stringType}, result: stringType, make: letters(lower)}},
	"upper":       {{params: []typ{stringType}, result: stringType, make: letters(upper)}},
	"substring":   {{params: []typ{stringType, numberType}, result: stringType, make: tail}, {params: []typ{stringType, numberType, numberType}, result: stringType, make: middle}},
	"index_of":    {{params: []typ{stringType, stringType}, result: numberType, make: indexOf}},
	"starts_with": search(strings.HasPrefix),
	"ends_with":   search(strings.HasSuffix),
	"contains":    search(strings.Contains),
}

func numeric(apply func(float64) float64) []form {
	return []form{{params: []typ{numberType}, result: numberType, make: func(args []arg) evalFunc {
		x := args[0].eval
		return func(f *frame) value {
			v := x(f)
			if v.kind != isNumber {
				return undefined
			}
			return numberValue(apply(v.num))
		}
	}}}
}

func sign(x float64) float64 {
	switch {
	case x < 0:
		return -1
	case x > 0:
		return 1
	}
	return x // zero, or no number
}

func power(args []arg) evalFunc {
	x, y := args[0].eval, args[1].eval
	return func(f *frame) value {
		a, b := x(f), y(f)
		if a.kind != isNumber || b.kind != isNumber {
			return undefined
		}
		return numberValue(math.Pow(a.num, b.num))
	}
}

func asNumber(args []arg) evalFunc {
	x := args[0].eval
	return func(f *frame) value {
		v := x(f)
		if v.kind != isString {
			return v.asNumber()
		}
		if !f.spend(len(v.str)) {
			return undefined
		}
		n, ok := parseNumber(v.str)
		if !ok {
			return undefined
		}
		return numberValue(n)
	}
}

func (v value) asNumber() value {
	if v.kind == isNumber {
		return v
	}
	return undefined
}

// tests makes a function of one argument of any type.
func tests(test func(value, typ) value) []form {
	return []form{{params: []typ{anyType}, result: boolType, make: func(args []arg) evalFunc {
		x, t := args[0].eval, args[0].typ
		return func(f *frame) value { return test(x(f), t) }
	}}}
}

// isBoolean does not know of a bool or a body value that is undefined.
func isBoolean(v value, t typ) value {
	if v.kind == isUndefined && (t == boolType || t == bodyType) {
		return undefined
	}
	return boolValue(v.kind == isBool)
}

func isFinite(v value, _ typ) value {
	return boolValue(v.kind == isNumber && !math.IsInf(v.num, 0))
}

func isText(v value, _ typ) value { return boolValue(v.kind == isString) }

func isDefined(v value, _ typ) value { return boolValue(v.kind != isUndefined) }

// isNothing does not know of a body value that is undefined.
func isNothing(v value, t typ) value {
	if v.kind == isUndefined && t == bodyType {
		return undefined
	}
	return boolValue(v.kind == isNull)
}
