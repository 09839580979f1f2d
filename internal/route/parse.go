package route

import (
	"fmt"
	"strings"
)

// MaxText is the longest route or condition, in bytes.
const MaxText = 32 << 10

// maxNesting bounds parentheses, calls and prefix operators within each other.
const maxNesting = 100

// parser reads tokens one ahead. The first syntax error ends it: it panics with
// a *Problem, which catch turns into a value.
type parser struct {
	lexer
	tok     token
	prev    token // the one before tok
	nesting int
	open    int // parentheses of groups and calls that are not closed yet
	doubts  []*Problem
}

func newParser(text string) *parser {
	p := &parser{lexer: lexer{text: text}}
	if len(text) > MaxText {
		p.fail(token{}, "", "the text is longer than %d bytes", MaxText)
	}
	p.advance()
	return p
}

// catch stores the Problem that fail threw.
func catch(err *error) {
	switch r := recover().(type) {
	case nil:
	case *Problem:
		*err = r
	default:
		panic(r)
	}
}

func (p *parser) fail(t token, hint, format string, args ...any) {
	panic(p.problem(t, hint, format, args...))
}

func (p *parser) problem(t token, hint, format string, args ...any) *Problem {
	return &Problem{Text: p.text, Start: t.pos, End: t.end, Message: fmt.Sprintf(format, args...), Hint: hint}
}

func (p *parser) doubt(t token, hint, format string, args ...any) {
	p.doubts = append(p.doubts, p.problem(t, hint, format, args...))
}

func (p *parser) advance() token {
	p.prev = p.tok
	p.tok = p.next()
	return p.prev
}

func (p *parser) word(t token) string { return p.text[t.pos:t.end] }

func (p *parser) isOp(op string) bool { return p.tok.kind == tokOp && p.tok.op == op }

// describe names a token for people.
func (p *parser) describe(t token) string {
	if t.kind == tokEnd {
		return "the end"
	}
	return fmt.Sprintf("%q", shorten(p.word(t)))
}

func shorten(s string) string {
	const most = 40
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	return string(r[:most]) + "…"
}

// precedence holds the operators by precedence: the higher, the tighter.
var precedence = map[string]int{
	"??": 1, "OR": 2, "AND": 3,
	"=": 4, "!=": 4, "<>": 4,
	"<": 5, "<=": 5, ">": 5, ">=": 5,
	"+": 6, "-": 6, "||": 6,
	"*": 7, "/": 7, "%": 7,
}

// expression reads operators that bind at least as tightly as least. All are
// left-associative.
func (p *parser) expression(least int) *expr {
	left := p.unary()
	for p.tok.kind == tokOp {
		level := precedence[p.tok.op]
		if level == 0 || level < least {
			break
		}
		op := p.advance()
		right := p.expression(level + 1)
		left = &expr{op: op.op, args: []*expr{left, right}, pos: left.pos, end: right.end, at: op}
	}
	return left
}

// unary reads prefix operators, which bind tighter than any other: not a = b is
// (not a) = b.
func (p *parser) unary() *expr {
	p.nesting++
	defer func() { p.nesting-- }()
	if p.nesting > maxNesting {
		p.fail(p.tok, "", "the condition nests deeper than %d", maxNesting)
	}
	if !p.isOp("-") && !p.isOp("NOT") {
		return p.primary()
	}
	op := p.advance()
	arg := p.unary()
	return &expr{op: op.op, args: []*expr{arg}, pos: op.pos, end: arg.end, at: op}
}

func (p *parser) primary() *expr {
	t := p.tok
	switch {
	case p.isOp("("):
		return p.group()
	case p.isOp("{"):
		return p.escaped()
	case t.kind == tokSystem:
		p.advance()
		return &expr{op: opSystem, name: p.word(t)[1:], pos: t.pos, end: t.end, at: t}
	case t.kind == tokID:
		p.advance()
		if p.isOp("(") {
			return p.call(t)
		}
		return &expr{op: opProperty, name: p.word(t), pos: t.pos, end: t.end, at: t}
	case tokString <= t.kind && t.kind <= tokUndefined:
		p.advance()
		return p.literal(t)
	}
	p.unexpected()
	return nil
}

// unexpected fails at a token that begins no expression.
func (p *parser) unexpected() {
	t := p.tok
	switch {
	case t.kind == tokUnknown:
		p.fail(t, p.symbolHint(t), "invalid symbol %s", p.describe(t))
	case t.kind == tokPath:
		p.fail(t, "brackets are for body values, as in $body.list[0]", "%s is not a name", p.describe(t))
	case t.kind == tokEnd && p.prev.kind == tokEnd:
		p.fail(t, "", "an expression is missing")
	}
	p.fail(t, p.operandHint(t), "expected a value, found %s", p.describe(t))
}

// group reads an expression in parentheses; the parentheses leave no trace.
func (p *parser) group() *expr {
	open := p.advance()
	p.open++
	e := p.expression(1)
	e.end = p.closing(open).end
	e.pos = open.pos
	return e
}

func (p *parser) call(name token) *expr {
	open := p.advance()
	p.open++
	e := &expr{op: opCall, name: p.word(name), pos: name.pos, at: name}
	if !p.isOp(")") {
		e.args = append(e.args, p.expression(1))
		for p.isOp(",") {
			p.advance()
			e.args = append(e.args, p.expression(1))
		}
	}
	e.end = p.closing(open).end
	return e
}

// closing reads the parenthesis that belongs to open. One too many right after
// it is an error here, and not what follows the condition.
func (p *parser) closing(open token) token {
	if !p.isOp(")") {
		if p.tok.kind == tokUnknown {
			p.unexpected()
		}
		p.fail(open, p.betweenHint(p.tok), "missing ')' for this '(': found %s instead", p.describe(p.tok))
	}
	t := p.advance()
	p.open--
	if p.open == 0 && p.isOp(")") {
		p.fail(p.tok, "", "unmatched ')'")
	}
	return t
}

// escaped reads {$name}.
func (p *parser) escaped() *expr {
	open := p.advance()
	t := p.tok
	if t.kind != tokSystem {
		p.fail(t, "braces hold one system property, as in {$contentType}", "expected a system property after '{', found %s", p.describe(t))
	}
	p.advance()
	if !p.isOp("}") {
		p.fail(p.tok, "", "expected '}', found %s", p.describe(p.tok))
	}
	end := p.advance().end
	return &expr{op: opEscaped, name: p.word(t)[1:], pos: open.pos, end: end, at: t}
}

// conditionText reads a condition that is the whole text. What stands behind a
// complete expression is passed over, as edgeHub does, and doubted.
func (p *parser) conditionText() *expr {
	if p.tok.kind == tokEnd {
		return nil
	}
	e := p.expression(1)
	if p.tok.kind == tokEnd {
		return e
	}
	rest := token{pos: p.tok.pos, end: len(strings.TrimRight(p.text, " \t\r\n"))}
	hint := p.betweenHint(p.tok)
	if p.tok.kind == tokUnknown {
		p.trailingSymbol()
	}
	p.doubt(rest, hint, "%q stands behind a complete condition, and is ignored", shorten(p.word(rest)))
	return e
}

// trailingSymbol fails if an invalid symbol stands as if it were an operator.
func (p *parser) trailingSymbol() {
	t := p.advance()
	begins := tokString <= p.tok.kind && p.tok.kind <= tokUndefined ||
		p.tok.kind == tokSystem || p.tok.kind == tokID || p.tok.kind == tokUnknown ||
		p.isOp("(") || p.isOp("{") || p.isOp("-") || p.isOp("NOT")
	if begins {
		p.fail(t, p.symbolHint(t), "invalid symbol %s", p.describe(t))
	}
}
