package route

import "math"

func negate(arg evalFunc) evalFunc {
	return func(f *frame) value {
		v := arg(f)
		if v.kind != isNumber {
			return undefined
		}
		return numberValue(-v.num)
	}
}

func not(arg evalFunc) evalFunc {
	return func(f *frame) value {
		v := arg(f)
		if v.kind != isBool {
			return undefined
		}
		return boolValue(v.num == 0)
	}
}

// calculate applies an arithmetic operator. A division by zero is infinite, or
// no number, which is undefined.
func calculate(op string, left, right evalFunc) evalFunc {
	apply := map[string]func(a, b float64) float64{
		"+": func(a, b float64) float64 { return a + b },
		"-": func(a, b float64) float64 { return a - b },
		"*": func(a, b float64) float64 { return a * b },
		"/": func(a, b float64) float64 { return a / b },
		"%": math.Mod,
	}[op]
	return func(f *frame) value {
		a, b := left(f), right(f)
		if a.kind != isNumber || b.kind != isNumber {
			return undefined
		}
		return numberValue(apply(a.num, b.num))
	}
}

// logicOf is AND and OR of three values, after Kleene.
func logicOf(op string, left, right evalFunc) evalFunc {
	decides := op == "OR" // the value that decides whatever the other is
	return func(f *frame) value {
		a := left(f)
		if a.kind == isBool && (a.num != 0) == decides {
			return a
		}
		b := right(f)
		if a.kind == isBool || b.kind == isBool && (b.num != 0) == decides {
			return b
		}
		return undefined
	}
}

// bodyLogic is AND and OR of two bools; with anything else they are undefined,
// even where the other side would decide.
func bodyLogic(op string, left, right evalFunc) evalFunc {
	return func(f *frame) value {
		a, b := left(f), right(f)
		switch {
		case a.kind != isBool || b.kind != isBool:
			return undefined
		case op == "AND":
			return boolValue(a.num != 0 && b.num != 0)
		}
		return boolValue(a.num != 0 || b.num != 0)
	}
}

// operand evaluates e where a value of type t is wanted. A string that is null
// is not the null of a body.
func operand(e *expr, t typ) evalFunc {
	if t != bodyType || e.typ != stringType {
		return e.eval
	}
	eval := e.eval
	return func(f *frame) value {
		if v := eval(f); v.kind == isString {
			return v
		}
		return undefined
	}
}

// comparisonOf compares two values of types that are alike.
func comparisonOf(op string, left, right *expr) evalFunc {
	holds := order(op)
	if left.typ == nullType && right.typ == nullType {
		return always(boolValue(holds(0)))
	}
	if left.typ == bodyType || right.typ == bodyType {
		return compareBody(op, operand(left, bodyType), operand(right, bodyType))
	}
	if left.op == opProperty && right.op == opLiteral && (op == "=" || op == "!=" || op == "<>") {
		return compareProperty(left.name, right.value.str, op == "=")
	}
	a, b := left.eval, right.eval
	return func(f *frame) value {
		x, y := a(f), b(f)
		if !definite(x) || !definite(y) || !f.spend(min(len(x.str), len(y.str))) {
			return undefined
		}
		return boolValue(holds(compare(x, y)))
	}
}

// compareProperty is the most frequent comparison, of a property with a literal.
func compareProperty(name, literal string, equal bool) evalFunc {
	return func(f *frame) value {
		v, ok := f.property(name)
		if !ok || v.kind != isString {
			return undefined
		}
		return boolValue((v.str == literal) == equal)
	}
}

func definite(v value) bool { return v.kind != isUndefined && v.kind != isNull }

// compareBody compares values whose kinds are known only now. Values of two
// kinds differ, but none of them is the greater.
func compareBody(op string, left, right evalFunc) evalFunc {
	holds := order(op)
	return func(f *frame) value {
		a, b := left(f), right(f)
		switch {
		case a.kind == isUndefined || b.kind == isUndefined, !f.spend(min(len(a.str), len(b.str))):
			return undefined
		case a.kind == b.kind:
			return boolValue(holds(compare(a, b)))
		case op == "=":
			return falseValue
		case op == "!=" || op == "<>":
			return trueValue
		}
		return undefined
	}
}

// order tells for which results of compare a comparison holds.
func order(op string) func(int) bool {
	switch op {
	case "=":
		return func(n int) bool { return n == 0 }
	case "<":
		return func(n int) bool { return n < 0 }
	case "<=":
		return func(n int) bool { return n <= 0 }
	case ">":
		return func(n int) bool { return n > 0 }
	case ">=":
		return func(n int) bool { return n >= 0 }
	}
	return func(n int) bool { return n != 0 }
}
