package route

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
)

// literal gives the value of a literal's token.
func (p *parser) literal(t token) *expr {
	e := &expr{op: opLiteral, pos: t.pos, end: t.end, at: t}
	word := p.word(t)
	switch t.kind {
	case tokUnterminated:
		p.fail(t, p.quoteHint(t), "unterminated string")
	case tokString:
		e.value, e.typ = stringValue(unescape(word[1:len(word)-1])), stringType
	case tokInteger, tokReal:
		e.name = word
		e.value, e.typ = parseDecimal(word)
	case tokHex:
		e.name = word
		e.value, e.typ = parseHexadecimal(word[2:])
	case tokTrue, tokFalse:
		e.value, e.typ = boolValue(t.kind == tokTrue), boolType
	case tokNull:
		e.value, e.typ = nullValue, nullType
	}
	return e
}

// parseDecimal reads what numberKind accepted. Too large a number is infinite;
// an exponent by itself is undefined.
func parseDecimal(s string) (value, typ) {
	f, err := strconv.ParseFloat(s, 64)
	if errors.Is(err, strconv.ErrSyntax) {
		return value{}, undefinedType
	}
	return numberValue(f), numberType
}

// parseHexadecimal reads a number of 64 bits in two's complement; a longer one
// is undefined.
func parseHexadecimal(s string) (value, typ) {
	n, err := strconv.ParseUint(s, 16, 64)
	if err != nil {
		return value{}, undefinedType
	}
	return numberValue(float64(int64(n))), numberType
}

var (
	unicodeEscape = regexp.MustCompile(`\\[Uu][0-9A-Fa-f]{4}`)
	quoteEscape   = regexp.MustCompile(`\\["'\\]`)
)

// unescape replaces escape sequences in two passes, as edgeHub does: what the
// first one makes can be part of an escape sequence for the second.
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	s = unicodeEscape.ReplaceAllStringFunc(s, func(m string) string {
		n, _ := strconv.ParseUint(m[2:], 16, 16) // four digits always parse
		return string(appendUnit(nil, uint16(n)))
	})
	s = joinSurrogates(s)
	return quoteEscape.ReplaceAllStringFunc(s, func(m string) string { return m[1:] })
}
