package route

import (
	"strings"
	"unicode/utf8"
)

// kind is the kind of a token.
type kind uint8

const (
	tokEnd kind = iota
	tokSelect
	tokFrom
	tokWhere
	tokInto
	tokString
	tokUnterminated
	tokInteger
	tokHex
	tokReal
	tokTrue
	tokFalse
	tokNull
	tokUndefined
	tokOp // punctuation and operators; AND, OR and NOT in upper case
	tokSystem
	tokID
	tokPath    // a name with brackets, legal nowhere by itself
	tokUnknown // one character that begins no token
)

// token is a piece of text[pos:end].
type token struct {
	kind     kind
	pos, end int
	op       string // of tokOp
}

// lexer cuts text into tokens. The longest match wins, and names may hold
// nearly every character: a!=b is the name a! and two tokens more.
type lexer struct {
	text string
	pos  int
}

func (l *lexer) next() token {
	l.skip()
	start := l.pos
	if start == len(l.text) {
		return token{kind: tokEnd, pos: start, end: start}
	}
	t := l.scan()
	t.pos, t.end = start, start+t.end
	l.pos = t.end
	return t
}

// skip passes over white space and comments. What looks like the beginning of a
// comment is one only if its end follows, however far: else it is the end of a
// source such as /messages/*.
func (l *lexer) skip() {
	for l.pos < len(l.text) {
		rest := l.text[l.pos:]
		switch {
		case strings.IndexByte(" \t\r\n", rest[0]) >= 0:
			l.pos++
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest[2:], "*/")
			if end < 0 {
				return
			}
			l.pos += 2 + end + 2
		default:
			return
		}
	}
}

// scan recognises the token at l.pos; its end is relative to that.
func (l *lexer) scan() token {
	rest := l.text[l.pos:]
	name, path := nameLen(rest), pathLen(rest)
	if rest[0] == '"' || rest[0] == '\'' {
		if n, closed := stringLen(rest); n >= path {
			return token{kind: stringKind(closed), end: n}
		}
	}
	switch {
	case path > name && rest[0] == '$':
		return token{kind: tokSystem, end: path}
	case path > name:
		return token{kind: tokPath, end: path}
	case name > 0 && strings.HasPrefix(rest, "!=") && name == 1:
		return token{kind: tokOp, end: 2, op: "!="}
	case name > 0:
		return word(rest[:name])
	}
	return symbol(rest)
}

func stringKind(closed bool) kind {
	if closed {
		return tokString
	}
	return tokUnterminated
}

// word tells what a run of name characters is.
func word(s string) token {
	t := token{kind: tokID, end: len(s)}
	switch s {
	case "true":
		t.kind = tokTrue
	case "false":
		t.kind = tokFalse
	case "null":
		t.kind = tokNull
	case "undefined":
		t.kind = tokUndefined
	case "+", "-", "*", "%", "||":
		t.kind, t.op = tokOp, s
	default:
		if k, op := keyword(s); k != tokID {
			t.kind, t.op = k, op
		} else if k := numberKind(s); k != tokID {
			t.kind = k
		} else if s[0] == '$' && len(s) > 1 {
			t.kind = tokSystem
		}
	}
	return t
}

// keyword recognises the words that are reserved in any case.
func keyword(s string) (kind, string) {
	if len(s) > len("select") {
		return tokID, ""
	}
	switch strings.ToUpper(s) {
	case "SELECT":
		return tokSelect, ""
	case "FROM":
		return tokFrom, ""
	case "WHERE":
		return tokWhere, ""
	case "INTO":
		return tokInto, ""
	case "AND":
		return tokOp, "AND"
	case "OR":
		return tokOp, "OR"
	case "NOT":
		return tokOp, "NOT"
	}
	return tokID, ""
}

// numberKind tells integers, hexadecimal numbers and reals from names, which
// may begin with a digit.
func numberKind(s string) kind {
	if len(s) > 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X') && digits(s[2:], isHex) == len(s)-2 {
		return tokHex
	}
	s = strings.TrimPrefix(s, "-")
	n := digits(s, isDigit)
	if n == len(s) && n > 0 {
		return tokInteger
	}
	rest := s[n:]
	if strings.HasPrefix(rest, ".") {
		f := digits(rest[1:], isDigit)
		if f == 0 {
			return tokID
		}
		rest = rest[1+f:]
		if rest == "" {
			return tokReal
		}
	}
	if isExponent(rest) {
		return tokReal
	}
	return tokID
}

// isExponent reports whether s is e, an optional sign, and digits.
func isExponent(s string) bool {
	if len(s) < 2 || s[0]|0x20 != 'e' {
		return false
	}
	s = s[1:]
	if s[0] == '+' || s[0] == '-' {
		s = s[1:]
	}
	return s != "" && digits(s, isDigit) == len(s)
}

func digits(s string, is func(byte) bool) int {
	n := 0
	for n < len(s) && is(s[n]) {
		n++
	}
	return n
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isHex(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }

// symbol recognises what begins with a character that no name holds.
func symbol(s string) token {
	if len(s) >= 2 {
		switch s[:2] {
		case "<>", "<=", ">=", "??":
			return token{kind: tokOp, end: 2, op: s[:2]}
		}
	}
	if strings.IndexByte("(),/=<>{}", s[0]) >= 0 {
		return token{kind: tokOp, end: 1, op: s[:1]}
	}
	_, n := utf8.DecodeRuneInString(s)
	return token{kind: tokUnknown, end: n}
}

// notInName are the characters that end a name; those that end a path are the
// same without the brackets.
const notInName = "()<>@,;:\\\"/?={} \t\n\r[]"

func nameLen(s string) int { return spanWithout(s, notInName) }

func pathLen(s string) int { return spanWithout(s, notInName[:len(notInName)-2]) }

func spanWithout(s, stop string) int {
	if n := strings.IndexAny(s, stop); n >= 0 {
		return n
	}
	return len(s)
}

// stringLen measures the string literal that s begins with. A backslash before
// anything but a quote, a backslash or u and four digits ends it unclosed.
func stringLen(s string) (n int, closed bool) {
	quote := s[0]
	for n = 1; n < len(s); {
		switch {
		case s[n] == quote:
			return n + 1, true
		case s[n] != '\\':
			n++
		default:
			e := escapeLen(s[n:])
			if e == 0 {
				return n, false
			}
			n += e
		}
	}
	return n, false
}

// escapeLen measures an escape sequence; 0 if it is none.
func escapeLen(s string) int {
	if len(s) >= 2 && strings.IndexByte(`"'\`, s[1]) >= 0 {
		return 2
	}
	if len(s) >= 6 && s[1] == 'u' && digits(s[2:6], isHex) == 4 {
		return 6
	}
	return 0
}
