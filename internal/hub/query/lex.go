package query

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

type tokenKind uint8

const (
	tokenEnd tokenKind = iota
	tokenWord
	tokenNumber
	tokenString
	tokenMark // operators and brackets
)

func (k tokenKind) String() string {
	return [...]string{"the end", "a name", "a number", "a string", "an operator"}[k]
}

type token struct {
	kind   tokenKind
	text   string // of a string, what it means; else as written
	number float64
	offset int
}

// is reports whether t is this keyword, in any case, or this mark.
func (t token) is(what string) bool {
	switch t.kind {
	case tokenWord:
		return strings.EqualFold(t.text, what)
	case tokenMark:
		return t.text == what
	}
	return false
}

// describe is t as an error message names it.
func (t token) describe() string {
	switch t.kind {
	case tokenEnd:
		return "the end of the query"
	case tokenString:
		return "the string " + quote(shorten(t.text))
	}
	return shorten(t.text)
}

func shorten(s string) string {
	const most = 30
	if len(s) <= most {
		return s
	}
	cut := most
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// A lexer cuts the text of a query into tokens.
type lexer struct {
	text string
	pos  int
}

var marks = []string{"<=", ">=", "!=", "<>", "[[", "=", "<", ">", "(", ")", "[", "]", ",", ".", "+", "-", "*", "/", "%"}

func (l *lexer) next() (token, error) {
	l.pos += len(l.text[l.pos:]) - len(strings.TrimLeftFunc(l.text[l.pos:], unicode.IsSpace))
	rest := l.text[l.pos:]
	if rest == "" {
		return token{kind: tokenEnd, offset: l.pos}, nil
	}
	switch first, _ := utf8.DecodeRuneInString(rest); {
	case first == '\'' || first == '"':
		return l.string(rest[0])
	case first >= '0' && first <= '9':
		return l.number()
	case isWordStart(first):
		return l.word(), nil
	case first == utf8.RuneError:
		return token{}, errorAt(l.text, l.pos, "the query is not UTF-8 here")
	}
	for _, m := range marks {
		if strings.HasPrefix(rest, m) {
			return l.take(tokenMark, len(m)), nil
		}
	}
	first, _ := utf8.DecodeRuneInString(rest)
	return token{}, errorAt(l.text, l.pos, "%q means nothing here", first)
}

func (l *lexer) take(kind tokenKind, n int) token {
	t := token{kind: kind, text: l.text[l.pos : l.pos+n], offset: l.pos}
	l.pos += n
	return t
}

func isWordStart(r rune) bool { return r == '_' || r == '$' || r == '#' || unicode.IsLetter(r) }
func isWordPart(r rune) bool  { return isWordStart(r) || unicode.IsDigit(r) }

// isWord reports whether a name can be written without brackets.
func isWord(name string) bool {
	for i, r := range name {
		if i == 0 && !isWordStart(r) || !isWordPart(r) || r == utf8.RuneError {
			return false
		}
	}
	return name != ""
}

func (l *lexer) word() token {
	n := len(l.text[l.pos:]) - len(strings.TrimLeftFunc(l.text[l.pos:], isWordPart))
	return l.take(tokenWord, n)
}

// number reads decimal numbers, and hexadecimal integers after 0x.
func (l *lexer) number() (token, error) {
	n := numberLength(l.text[l.pos:])
	t := l.take(tokenNumber, n)
	value, err := strconv.ParseFloat(t.text, 64)
	if digits, hex := cutHex(t.text); hex {
		var n uint64
		n, err = strconv.ParseUint(digits, 16, 64)
		value = float64(n)
	}
	if err != nil {
		return t, errorAt(l.text, t.offset, "%s is not a number", shorten(t.text))
	}
	t.number = value
	return t, nil
}

func cutHex(s string) (digits string, ok bool) {
	if len(s) > 1 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X') {
		return s[2:], true
	}
	return s, false
}

// numberLength takes in letters too, so that 12ab is one wrong number, and a
// sign after the e of an exponent.
func numberLength(s string) int {
	_, hex := cutHex(s)
	for i, r := range s {
		sign := (r == '+' || r == '-') && !hex && i > 0 && (s[i-1] == 'e' || s[i-1] == 'E')
		if r != '.' && !sign && !isWordPart(r) {
			return i
		}
	}
	return len(s)
}

// string reads a string in either kind of quotes. A quote inside is escaped by a
// backslash, or doubled as in SQL.
func (l *lexer) string(quote byte) (token, error) {
	t := token{kind: tokenString, offset: l.pos}
	var b strings.Builder
	for i := l.pos + 1; i < len(l.text); {
		switch c := l.text[i]; {
		case c == quote && i+1 < len(l.text) && l.text[i+1] == quote:
			b.WriteByte(quote)
			i += 2
		case c == quote:
			l.pos = i + 1
			t.text = b.String()
			if !utf8.ValidString(t.text) {
				return t, errorAt(l.text, t.offset, "the string is not UTF-8")
			}
			return t, nil
		case c == '\\':
			char, width := unescape(l.text[i:])
			if width == 0 {
				return t, errorAt(l.text, i, `unknown escape in a string; there are \' \" \\ \/ \b \f \n \r \t and \uXXXX`)
			}
			b.WriteRune(char)
			i += width
		default:
			b.WriteByte(c)
			i++
		}
	}
	return t, errorAt(l.text, t.offset, "the string that begins here does not end")
}

// unescape decodes the escape that s begins with; width is 0 if it is none.
func unescape(s string) (char rune, width int) {
	if len(s) < 2 {
		return 0, 0
	}
	if at := strings.IndexByte(`'"\/bfnrt`, s[1]); at >= 0 {
		return rune("'\"\\/\b\f\n\r\t"[at]), 2
	}
	char, ok := hex4(s)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(char) {
		return char, 6
	}
	low, _ := hex4(s[6:])
	if char = utf16.DecodeRune(char, low); char == utf8.RuneError {
		return 0, 0
	}
	return char, 12
}

func hex4(s string) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(s[2:6], 16, 16)
	return rune(n), err == nil
}

// quote writes a string as this language reads it.
func quote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}
