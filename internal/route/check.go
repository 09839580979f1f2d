package route

import (
	"fmt"
	"strings"
)

// checker finds the static type of each expression and how it is evaluated.
// All type errors of a condition are found together; what uses a wrong
// expression is not complained about again.
type checker struct {
	parser
	from     Pattern
	paths    [][]step // by slot of the condition
	problems []*Problem
}

func (c *checker) check(e *expr) {
	for _, a := range e.args {
		if e.op != opCall || !isTwinFunction(e.name) {
			c.check(a)
		}
	}
	for _, a := range e.args {
		if a.typ == broken {
			e.typ = broken
			return
		}
	}
	switch e.op {
	case opLiteral:
		v := e.value
		e.eval = func(*frame) value { return v }
	case opProperty:
		c.property(e)
	case opSystem:
		c.systemProperty(e)
	case opEscaped:
		c.escapedProperty(e)
	case opCall:
		c.callFunction(e)
	default:
		c.operator(e)
	}
}

func (c *checker) wrong(e *expr, hint, format string, args ...any) {
	c.problems = append(c.problems, c.problem(e.at, hint, format, args...))
	e.typ = broken
}

// property is an application property. All are strings.
func (c *checker) property(e *expr) {
	name := e.name
	e.typ = stringType
	e.eval = func(f *frame) value {
		v, _ := f.property(name)
		return v
	}
}

// systemProperty is $name: an application property of just that name, the
// body, or a system property.
func (c *checker) systemProperty(e *expr) {
	full := "$" + e.name
	path, isBody := bodyPath(e.name)
	if strings.ContainsAny(e.name, "[]") {
		if isBody {
			c.body(e, path)
			return
		}
		e.typ, e.eval = undefinedType, always(undefined)
		return
	}
	c.escapedProperty(e)
	if e.typ == broken {
		return
	}
	otherwise := e.eval
	e.eval = func(f *frame) value {
		if v, ok := f.property(full); ok {
			return v
		}
		return otherwise(f)
	}
}

// escapedProperty is {$name}: the body, or a system property.
func (c *checker) escapedProperty(e *expr) {
	if path, isBody := bodyPath(e.name); isBody {
		c.body(e, path)
		return
	}
	if strings.ContainsAny(e.name, "[]") {
		e.typ, e.eval = undefinedType, always(undefined)
		return
	}
	name := newSystemName(e.name)
	e.typ = stringType
	e.eval = func(f *frame) value { return f.system(name) }
}

func always(v value) evalFunc { return func(*frame) value { return v } }

// bodyPath cuts body. off the name of a system property.
func bodyPath(name string) (string, bool) {
	const prefix = "body."
	if len(name) < len(prefix) || !strings.EqualFold(name[:len(prefix)], prefix) {
		return "", false
	}
	return name[len(prefix):], true
}

func (c *checker) body(e *expr, path string) {
	steps, at, err := parsePath(path)
	if err != nil {
		t := e.at
		t.pos = min(t.pos+len("$body.")+at, t.end)
		c.problems = append(c.problems, c.problem(t, "a body path is names and numbers, as in $body.a.list[0].b", "%v", err))
		e.typ = broken
		return
	}
	slot := c.slot(steps)
	e.typ = bodyType
	e.eval = func(f *frame) value { return f.bodyValue(slot) }
}

func (c *checker) slot(steps []step) int {
	c.paths = append(c.paths, steps)
	return len(c.paths) - 1
}

func (c *checker) operator(e *expr) {
	if len(e.args) == 1 {
		c.prefix(e, e.args[0])
		return
	}
	left, right := e.args[0], e.args[1]
	switch e.op {
	case "+", "-", "*", "/", "%":
		c.arithmetic(e, left, right)
	case "||":
		if c.operands(e, stringType) {
			joinStrings(e)
		}
	case "AND", "OR":
		c.logic(e, left, right)
	case "??":
		c.coalesce(e, left, right)
	default:
		c.comparison(e, left, right)
	}
}

func (c *checker) prefix(e, arg *expr) {
	switch {
	case e.op == "-" && (arg.typ == numberType || arg.typ == bodyType):
		e.typ, e.eval = arg.typ, negate(arg.eval)
	case e.op == "-":
		c.wrong(e, c.typeHint(e), "'-' needs a number, not a %v", arg.typ)
	case arg.typ == nullType:
		e.typ, e.eval = boolType, always(trueValue)
	case arg.typ == boolType || arg.typ == bodyType:
		e.typ, e.eval = boolType, not(arg.eval)
	default:
		c.wrong(e, c.typeHint(e), "NOT needs a bool, not a %v", arg.typ)
	}
}

// operands checks that both operands are of one type, or of the body.
func (c *checker) operands(e *expr, want typ) bool {
	for _, a := range e.args {
		if a.typ != want && a.typ != bodyType {
			c.mismatch(e, want.String()+"s")
			return false
		}
	}
	return true
}

func (c *checker) mismatch(e *expr, want string) {
	c.wrong(e, c.typeHint(e), "'%s' needs two %s, not a %v and a %v", e.op, want, e.args[0].typ, e.args[1].typ)
}

func (c *checker) arithmetic(e, left, right *expr) {
	if !c.operands(e, numberType) {
		return
	}
	e.typ = numberType
	if left.typ == bodyType || right.typ == bodyType {
		e.typ = bodyType
	}
	e.eval = calculate(e.op, left.eval, right.eval)
}

// alike reports whether values of the two types can be compared: they are of
// the same type, or one is of the body and the other can occur in a body.
func alike(a, b typ) bool {
	if a == bodyType || b == bodyType {
		return a != undefinedType && b != undefinedType
	}
	return a == b
}

func (c *checker) comparison(e, left, right *expr) {
	if !alike(left.typ, right.typ) {
		c.mismatch(e, "values of one type")
		return
	}
	e.typ = boolType
	e.eval = comparisonOf(e.op, left, right)
}

func (c *checker) coalesce(e, left, right *expr) {
	if !alike(left.typ, right.typ) {
		c.mismatch(e, "values of one type")
		return
	}
	e.typ = left.typ
	if right.typ == bodyType {
		e.typ = bodyType
	}
	first, second := operand(left, e.typ), operand(right, e.typ)
	e.eval = func(f *frame) value {
		if v := first(f); v.kind != isUndefined {
			return v
		}
		return second(f)
	}
}

// logic types AND and OR. With a body value on either side both sides must come
// to a bool; a body value on the left takes anything on its right.
func (c *checker) logic(e, left, right *expr) {
	l, r := left.typ, right.typ
	logical := func(t typ) bool { return t == boolType || t == nullType || t == undefinedType || t == bodyType }
	body := l == bodyType || r == bodyType
	null := l == nullType || r == nullType
	switch {
	case !logical(l), !logical(r) && l != bodyType:
		c.mismatch(e, "bools")
	case null && (l == undefinedType || r == undefinedType), null && body && e.op == "AND":
		c.mismatch(e, "bools")
	case body:
		e.typ, e.eval = boolType, bodyLogic(e.op, left.eval, right.eval)
	case null:
		c.nullLogic(e, left, right)
	default:
		e.typ, e.eval = boolType, logicOf(e.op, left.eval, right.eval)
	}
}

// nullLogic: null AND anything is null; null OR x is x.
func (c *checker) nullLogic(e, left, right *expr) {
	switch {
	case e.op == "AND":
		e.typ, e.eval = nullType, always(nullValue)
	case left.typ == nullType:
		e.typ, e.eval = right.typ, right.eval
	default:
		e.typ, e.eval = left.typ, left.eval
	}
}

// callFunction finds the form of a function that takes the arguments.
func (c *checker) callFunction(e *expr) {
	if isTwinFunction(e.name) {
		c.twinFunction(e)
		return
	}
	forms, ok := functions[strings.ToLower(e.name)]
	if !ok {
		c.wrong(e, c.functionHint(e.name), "there is no function %q", e.name)
		return
	}
	for _, form := range forms {
		if form.takes(e.args) {
			e.typ = form.result
			e.eval = form.make(arguments(e.args, form))
			return
		}
	}
	c.wrong(e, c.callHint(e), "%s does not take %s; it takes %s", strings.ToLower(e.name), typesOf(e.args), formsText(forms))
}

// typesOf lists the types of arguments for people.
func typesOf(args []*expr) string {
	if len(args) == 0 {
		return "no arguments"
	}
	names := make([]string, len(args))
	for i, a := range args {
		names[i] = a.typ.String()
	}
	return fmt.Sprintf("(%s)", strings.Join(names, ", "))
}
