package twin

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// escaped reads the rest of a string that begins at start and has its first
// escape at i.
func (r *reader) escaped(start, i int) (string, error) {
	var b strings.Builder
	b.WriteString(r.text[start:i])
	for i < len(r.text) {
		switch c := r.text[i]; {
		case c == '"':
			r.pos = i + 1
			return r.checkUTF8(b.String())
		case c == '\\':
			char, next, wrong := unescape(r.text, i)
			if wrong != "" {
				r.pos = i
				return "", r.syntax(wrong)
			}
			b.WriteRune(char)
			i = next
		case c < 0x20:
			r.pos = i
			return "", r.syntax("a control character in a string must be escaped")
		default:
			b.WriteByte(c)
			i++
		}
	}
	r.pos = len(r.text)
	return "", r.syntax("a string does not end")
}

// unescape decodes the escape at s[i] and returns where it ends. Half of a
// surrogate pair is refused: it is no character, and writing another in its
// place would change what the client said.
func unescape(s string, i int) (char rune, next int, wrong string) {
	if i+1 == len(s) {
		return 0, 0, "a string does not end"
	}
	if at := strings.IndexByte(`"\/bfnrt`, s[i+1]); at >= 0 {
		return rune("\"\\/\b\f\n\r\t"[at]), i + 2, ""
	}
	char, ok := hex4(s, i)
	if !ok {
		return 0, 0, "an unknown escape in a string"
	}
	if !utf16.IsSurrogate(char) {
		return char, i + 6, ""
	}
	low, _ := hex4(s, i+6)
	if char = utf16.DecodeRune(char, low); char == utf8.RuneError {
		return 0, 0, "half a surrogate pair in a string"
	}
	return char, i + 12, ""
}

// hex4 reads \uXXXX at s[i].
func hex4(s string, i int) (rune, bool) {
	if i+6 > len(s) || s[i] != '\\' || s[i+1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(s[i+2:i+6], 16, 16)
	return rune(n), err == nil
}

// appendString writes s in quotes. Only what JSON demands is escaped, so that
// there is one way to write a string.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	clean := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[clean:i]...)
		b = appendEscape(b, c)
		clean = i + 1
	}
	b = append(b, s[clean:]...)
	return append(b, '"')
}

func appendEscape(b []byte, c byte) []byte {
	const digits = "0123456789abcdef"
	if at := strings.IndexByte("\"\\\b\f\n\r\t", c); at >= 0 {
		return append(b, '\\', `"\bfnrt`[at])
	}
	return append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
}
