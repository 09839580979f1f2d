package query

import (
	"math"
	"strings"
)

// An expr is a part of a condition or of a selection, ready to be evaluated.
type expr interface {
	eval(Row) value
	// String is the expression in this language, with all its parentheses.
	String() string
}

type constant struct {
	value value
	text  string // as it is written
}

func (c constant) eval(Row) value { return c.value }
func (c constant) String() string { return c.text }

// An attribute is a path into a row.
type attribute struct {
	path   []string
	offset int
}

func (a *attribute) eval(row Row) value {
	v, ok := row.Lookup(a.path)
	if !ok {
		return value{}
	}
	return fromRow(v)
}

func (a *attribute) String() string {
	var b strings.Builder
	for i, name := range a.path {
		switch {
		case !isWord(name):
			b.WriteString("[" + quote(name) + "]")
		case i > 0:
			b.WriteString("." + name)
		default:
			b.WriteString(name)
		}
	}
	return b.String()
}

// A unary is NOT or minus.
type unary struct {
	operator string
	operand  expr
}

func (u unary) eval(row Row) value {
	v := u.operand.eval(row)
	switch {
	case u.operator == "NOT" && v.kind == boolean:
		return boolOf(!v.bool)
	case u.operator == "-" && v.kind == number:
		return numberOf(-v.num)
	}
	return value{}
}

func (u unary) String() string { return "(" + u.operator + " " + u.operand.String() + ")" }

// A logical is a chain of AND or of OR. decisive is the value of one operand
// that settles it, whatever the others are.
type logical struct {
	operator string
	decisive bool
	operands []expr
}

func (l logical) eval(row Row) value {
	result := boolOf(!l.decisive)
	for _, operand := range l.operands {
		v := operand.eval(row)
		switch {
		case v.kind != boolean:
			result = value{}
		case v.bool == l.decisive:
			return boolOf(l.decisive)
		}
	}
	return result
}

func (l logical) String() string {
	list := make([]string, len(l.operands))
	for i, operand := range l.operands {
		list[i] = operand.String()
	}
	return "(" + strings.Join(list, " "+l.operator+" ") + ")"
}

// A binary is a comparison or a calculation.
type binary struct {
	operator    string
	apply       func(left, right value) value
	left, right expr
}

func (b binary) eval(row Row) value { return b.apply(b.left.eval(row), b.right.eval(row)) }

func (b binary) String() string {
	return "(" + b.left.String() + " " + b.operator + " " + b.right.String() + ")"
}

// comparing makes a comparison of what it says about the order of two values.
func comparing(holds func(order int) bool) func(a, b value) value {
	return func(a, b value) value {
		order, ok := compare(a, b)
		if !ok {
			return value{}
		}
		return boolOf(holds(order))
	}
}

func calculating(of func(a, b float64) float64) func(a, b value) value {
	return func(a, b value) value {
		if a.kind != number || b.kind != number {
			return value{}
		}
		return numberOf(of(a.num, b.num))
	}
}

// operators that take two values, with how strongly they bind.
var operators = map[string]struct {
	power int
	apply func(a, b value) value
}{
	"=":  {powerComparison, comparing(func(o int) bool { return o == 0 })},
	"!=": {powerComparison, comparing(func(o int) bool { return o != 0 })},
	"<>": {powerComparison, comparing(func(o int) bool { return o != 0 })},
	"<":  {powerComparison, comparing(func(o int) bool { return o < 0 })},
	"<=": {powerComparison, comparing(func(o int) bool { return o <= 0 })},
	">":  {powerComparison, comparing(func(o int) bool { return o > 0 })},
	">=": {powerComparison, comparing(func(o int) bool { return o >= 0 })},
	"+":  {powerSum, calculating(func(a, b float64) float64 { return a + b })},
	"-":  {powerSum, calculating(func(a, b float64) float64 { return a - b })},
	"*":  {powerProduct, calculating(func(a, b float64) float64 { return a * b })},
	"/":  {powerProduct, calculating(func(a, b float64) float64 { return a / b })},
	"%":  {powerProduct, calculating(math.Mod)},
}

// A membership is IN or NIN. Of an undefined value, or one that can be compared
// with none of the list, it is undefined, as a comparison with = is.
type membership struct {
	operator string // IN or NIN
	operand  expr
	list     []expr
}

func (m membership) eval(row Row) value {
	v := m.operand.eval(row)
	comparable := false
	for _, item := range m.list {
		order, ok := compare(v, item.eval(row))
		if ok && order == 0 {
			return boolOf(m.operator == "IN")
		}
		comparable = comparable || ok
	}
	if !comparable {
		return value{}
	}
	return boolOf(m.operator != "IN")
}

func (m membership) String() string {
	return "(" + m.operand.String() + " " + m.operator + " [" + joined(m.list) + "])"
}

// A call is a function with its arguments.
type call struct {
	function function
	args     []expr
}

func (c call) eval(row Row) value {
	var room [3]value // no function takes more, but CONCAT
	args := room[:0]
	for _, arg := range c.args {
		args = append(args, arg.eval(row))
	}
	return c.function.apply(args)
}

func (c call) String() string { return c.function.name + "(" + joined(c.args) + ")" }

func joined(list []expr) string {
	texts := make([]string, len(list))
	for i, e := range list {
		texts[i] = e.String()
	}
	return strings.Join(texts, ", ")
}
