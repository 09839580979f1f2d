package route

import (
	"strconv"
	"strings"
)

// String is the condition in one form: keywords in capitals, functions in small
// letters, one space around operators, and no parentheses that are not needed.
// Parsed again it is the same condition.
func (c *Condition) String() string {
	var b strings.Builder
	c.root.format(&b, 0)
	return b.String()
}

// String is the route in one form; see [Condition.String].
func (r *Route) String() string {
	tail := " INTO " + r.into.String()
	if r.condition != nil {
		tail = " WHERE " + r.condition.String() + tail
	}
	path := r.from.String()
	if strings.Contains(path[1:]+tail, "*/") {
		path = strings.ReplaceAll(path, "/*", "/ *") // else this would begin a comment
	}
	return "FROM " + path + tail
}

// unaryLevel is the precedence of prefix operators.
const unaryLevel = 8

// format writes e, in parentheses if it binds less tightly than least.
func (e *expr) format(b *strings.Builder, least int) {
	switch {
	case e.op == opLiteral:
		b.WriteString(e.literalText())
	case e.op == opProperty:
		b.WriteString(e.name)
	case e.op == opSystem:
		b.WriteString("$" + e.name)
	case e.op == opEscaped:
		b.WriteString("{$" + e.name + "}")
	case e.op == opCall:
		e.formatCall(b)
	case len(e.args) == 1:
		b.WriteString(e.op + " ")
		e.args[0].format(b, unaryLevel)
	default:
		e.formatBinary(b, least)
	}
}

func (e *expr) formatCall(b *strings.Builder) {
	b.WriteString(strings.ToLower(e.name) + "(")
	for i, a := range e.args {
		if i > 0 {
			b.WriteString(", ")
		}
		a.format(b, 0)
	}
	b.WriteByte(')')
}

func (e *expr) formatBinary(b *strings.Builder, least int) {
	level := precedence[e.op]
	if level < least {
		b.WriteByte('(')
		defer b.WriteByte(')')
	}
	op := e.op
	if op == "<>" {
		op = "!="
	}
	e.args[0].format(b, level)
	b.WriteString(" " + op + " ")
	e.args[1].format(b, level+1)
}

func (e *expr) literalText() string {
	switch v := e.value; {
	case e.name != "":
		return e.name
	case v.kind == isString:
		return quote(v.str)
	case v.kind == isBool:
		return strconv.FormatBool(v.num != 0)
	case v.kind == isNull:
		return "null"
	case e.pos == e.end:
		return "" // a blank condition
	}
	return "undefined"
}

// quote writes a string literal that unescape turns into s again. The end of a
// comment is taken apart, because the route may hold what begins one.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('\'')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\'':
			b.WriteString(`\'`)
		case c == '\\':
			b.WriteString(`\\`)
		case c == '/' && i > 0 && s[i-1] == '*':
			b.WriteString(`\u002f`)
		case c|0x20 == 'u' && i > 0 && s[i-1] == '\\':
			b.WriteString(`\u00` + strconv.FormatUint(uint64(c), 16)) // else the first pass would take it for an escape
		case isLone(s[i:]):
			u, _, _ := unit(s[i:])
			b.WriteString(`\u` + strconv.FormatUint(uint64(u), 16))
			i += 2
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('\'')
	return b.String()
}
