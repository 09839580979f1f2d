package route

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth is how deep objects and arrays of a body may lie in each other.
const maxDepth = 64

// scanner goes once over a JSON text, checks it, and notes what stands at the
// branches of a plan. The branches that the current value is at are a window of
// active; those below it are pushed behind.
type scanner struct {
	text   []byte
	pos    int
	depth  int
	found  []found
	active []*branch
}

// document reads the whole text, which must be an object.
func (s *scanner) document() bool {
	s.space()
	return s.peek() == '{' && s.object(0) && s.atEnd()
}

func (s *scanner) atEnd() bool {
	s.space()
	return s.pos == len(s.text)
}

func (s *scanner) space() {
	for s.pos < len(s.text) {
		switch s.text[s.pos] {
		case ' ', '\t', '\r', '\n':
			s.pos++
		default:
			return
		}
	}
}

// peek is the next byte, 0 at the end.
func (s *scanner) peek() byte {
	if s.pos < len(s.text) {
		return s.text[s.pos]
	}
	return 0
}

// take passes over c if it comes next, white space before it included.
func (s *scanner) take(c byte) bool {
	s.space()
	if s.peek() != c {
		return false
	}
	s.pos++
	return true
}

// value reads one value, which is at the branches active[from:].
func (s *scanner) value(from int) bool {
	s.space()
	switch c := s.peek(); {
	case c == '{':
		return s.note(from, undefined) && s.object(from)
	case c == '[':
		return s.note(from, undefined) && s.array(from)
	case c == '"':
		return s.stringAt(from)
	case c == '-' || isDigit(c):
		return s.numberAt(from)
	}
	return s.wordAt(from, "true", trueValue) || s.wordAt(from, "false", falseValue) || s.wordAt(from, "null", nullValue)
}

// note stores v for the branches active[from:].
func (s *scanner) note(from int, v value) bool {
	for _, b := range s.active[from:] {
		if b.slot >= 0 {
			f := &s.found[b.slot]
			f.value = v
			f.times++
		}
	}
	return true
}

func (s *scanner) enter() bool {
	s.depth++
	return s.depth <= maxDepth
}

func (s *scanner) object(from int) bool {
	s.pos++ // the brace
	if !s.enter() {
		return false
	}
	to := len(s.active)
	for first := true; !s.take('}'); first = false {
		if !first && !s.take(',') {
			return false
		}
		s.space()
		raw, escaped, ok := s.stringToken()
		if !ok || !s.take(':') {
			return false
		}
		s.activate(from, to, raw, escaped)
		if !s.value(to) {
			return false
		}
		s.active = s.active[:to]
	}
	s.depth--
	return true
}

// activate pushes the branches of a member of the value at active[from:to].
func (s *scanner) activate(from, to int, raw []byte, escaped bool) {
	if from == to {
		return
	}
	if escaped {
		raw = []byte(unquote(raw))
	}
	for _, b := range s.active[from:to] {
		if m := b.members[string(raw)]; m != nil {
			s.forget(m)
			s.active = append(s.active, m)
		}
		if b.any != nil {
			s.active = append(s.active, b.any)
		}
	}
}

// forget drops what was found at and below b: of members with the same name the
// last one counts. Below a star all members count, so there nothing is dropped.
func (s *scanner) forget(b *branch) {
	if b.many {
		return
	}
	if b.slot >= 0 {
		s.found[b.slot] = found{}
	}
	for _, m := range b.members {
		s.forget(m)
	}
	for _, m := range b.elements {
		s.forget(m)
	}
	if b.any != nil {
		s.clear(b.any)
	}
}

// clear drops what was found below a star whose object comes again.
func (s *scanner) clear(b *branch) {
	if b.slot >= 0 {
		s.found[b.slot] = found{}
	}
	for _, m := range b.members {
		s.clear(m)
	}
	for _, m := range b.elements {
		s.clear(m)
	}
	if b.any != nil {
		s.clear(b.any)
	}
}

func (s *scanner) array(from int) bool {
	s.pos++ // the bracket
	if !s.enter() {
		return false
	}
	to := len(s.active)
	for i := 0; !s.take(']'); i++ {
		if i > 0 && !s.take(',') {
			return false
		}
		for _, b := range s.active[from:to] {
			if e := b.elements[i]; e != nil {
				s.active = append(s.active, e)
			}
		}
		if !s.value(to) {
			return false
		}
		s.active = s.active[:to]
	}
	s.depth--
	return true
}

func (s *scanner) wordAt(from int, word string, v value) bool {
	if !bytes.HasPrefix(s.text[s.pos:], []byte(word)) {
		return false
	}
	s.pos += len(word)
	return s.note(from, v)
}

func (s *scanner) stringAt(from int) bool {
	raw, escaped, ok := s.stringToken()
	if !ok {
		return false
	}
	if from == len(s.active) {
		return true
	}
	var text string
	if escaped {
		text = unquote(raw)
	} else {
		text = string(raw)
	}
	if isTime(text) {
		return s.note(from, undefined)
	}
	return s.note(from, stringValue(text))
}

// stringToken passes over a string and returns what is between its quotes.
func (s *scanner) stringToken() (raw []byte, escaped, ok bool) {
	if s.peek() != '"' {
		return nil, false, false
	}
	s.pos++
	start := s.pos
	for s.pos < len(s.text) {
		switch s.text[s.pos] {
		case '"':
			s.pos++
			return s.text[start : s.pos-1], escaped, true
		case '\\':
			escaped = true
			n := jsonEscapeLen(s.text[s.pos:])
			if n == 0 {
				return nil, false, false
			}
			s.pos += n
		default:
			s.pos++
		}
	}
	return nil, false, false
}

func jsonEscapeLen(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	if b[1] == 'u' {
		if len(b) < 6 || digits(string(b[2:6]), isHex) != 4 {
			return 0
		}
		return 6
	}
	if bytes.IndexByte([]byte(`"\/bfnrt`), b[1]) < 0 {
		return 0
	}
	return 2
}

var jsonEscapes = map[byte]byte{'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// unquote resolves the escape sequences of a string that stringToken accepted.
func unquote(raw []byte) string {
	out := make([]byte, 0, len(raw))
	for len(raw) > 0 {
		switch {
		case raw[0] != '\\':
			out, raw = append(out, raw[0]), raw[1:]
		case raw[1] == 'u':
			r, n := unquoteUnicode(raw)
			out, raw = utf8.AppendRune(out, r), raw[n:]
		default:
			c, ok := jsonEscapes[raw[1]]
			if !ok {
				c = raw[1]
			}
			out, raw = append(out, c), raw[2:]
		}
	}
	return string(out)
}

// unquoteUnicode resolves an escape of four digits, or two that are a pair. A
// surrogate by itself becomes the replacement character.
func unquoteUnicode(raw []byte) (r rune, size int) {
	r = rune(hexUnit(raw))
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if rest := raw[6:]; len(rest) >= 6 && rest[0] == '\\' && rest[1] == 'u' {
		if pair := utf16.DecodeRune(r, rune(hexUnit(rest))); pair != utf8.RuneError {
			return pair, 12
		}
	}
	return utf8.RuneError, 6
}

func hexUnit(raw []byte) uint16 {
	n, _ := strconv.ParseUint(string(raw[2:6]), 16, 16) // checked by jsonEscapeLen
	return uint16(n)
}

func (s *scanner) numberAt(from int) bool {
	start := s.pos
	if !s.numberToken() {
		return false
	}
	if from == len(s.active) {
		return true
	}
	f, _ := strconv.ParseFloat(string(s.text[start:s.pos]), 64) // only ErrRange is possible, with ±Inf
	return s.note(from, numberValue(f))
}

// numberToken passes over a number of RFC 8259, section 6.
func (s *scanner) numberToken() bool {
	if s.peek() == '-' {
		s.pos++
	}
	if s.peek() == '0' {
		s.pos++
	} else if !s.digits() {
		return false
	}
	if s.peek() == '.' {
		s.pos++
		if !s.digits() {
			return false
		}
	}
	if s.peek()|0x20 == 'e' {
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		return s.digits()
	}
	return true
}

func (s *scanner) digits() bool {
	start := s.pos
	for isDigit(s.peek()) {
		s.pos++
	}
	return s.pos > start
}
