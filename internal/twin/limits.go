package twin

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"sluice/iot"
)

// The limits of a document. A limit is the largest value that is allowed.
const (
	MaxTagsSize       = 8 << 10  // of tags, as the service counts
	MaxPropertiesSize = 32 << 10 // of desired and of reported, each, as the service counts
	MaxDepth          = 10       // objects and arrays inside each other, the document itself not counted
	MaxKeyLength      = 1 << 10  // bytes of UTF-8
	MaxStringLength   = 4 << 10  // bytes of UTF-8

	MaxInteger int64 = 1<<52 - 1
	MinInteger int64 = -1 << 52
)

const (
	numberSize = 8
	boolSize   = 4
)

// checkKey says what is wrong with the name of a property, or "".
func checkKey(key string) string {
	switch {
	case key == "":
		return "a property name is empty"
	case len(key) > MaxKeyLength:
		return fmt.Sprintf("a property name is %d bytes long; the limit is %d", len(key), MaxKeyLength)
	}
	for _, r := range key {
		if r == '.' || r == '$' || r == ' ' || isControl(r) {
			return fmt.Sprintf("the property name %s has %q in it; names cannot have . $ space or control characters", shorten(key), r)
		}
	}
	return ""
}

func checkString(s string) string {
	if len(s) > MaxStringLength {
		return fmt.Sprintf("the string is %d bytes long; the limit is %d", len(s), MaxStringLength)
	}
	return ""
}

// checkNumber takes a number that is well formed. Only numbers that are written
// as integers are held to the range of integers.
func checkNumber(text string) string {
	if strings.ContainsAny(text, ".eE") {
		if _, err := strconv.ParseFloat(text, 64); err != nil {
			return fmt.Sprintf("the number %s is beyond the range of numbers", shorten(text))
		}
		return ""
	}
	if n, err := strconv.ParseInt(text, 10, 64); err != nil || n > MaxInteger || n < MinInteger {
		return fmt.Sprintf("the integer %s is not within %d and %d", shorten(text), MinInteger, MaxInteger)
	}
	return ""
}

// checkSize lets a document that is too large already shrink.
func checkSize(s Section, before, after int) error {
	limit := s.limit()
	if after <= limit || after <= before {
		return nil
	}
	return iot.Errorf(iot.TooLarge, opPatch, iot.Identity{},
		"%s: %d bytes, as IoT Hub counts, are over the limit of %d", s, after, limit)
}

// textSize counts the characters of s that are not control characters.
func textSize(s string) int {
	n := 0
	for i := 0; i < len(s); {
		if s[i] < utf8.RuneSelf {
			if !isControl(rune(s[i])) {
				n++
			}
			i++
			continue
		}
		r, width := utf8.DecodeRuneInString(s[i:])
		if !isControl(r) {
			n++
		}
		i += width
	}
	return n
}

// isControl reports whether r is in Unicode's segments C0 (with DEL) or C1.
func isControl(r rune) bool { return r < 0x20 || r >= 0x7f && r <= 0x9f }

// shorten quotes what a client sent, for an error message.
func shorten(s string) string {
	const most = 40
	if len(s) <= most {
		return strconv.Quote(s)
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strconv.Quote(s[:cut]) + "…"
}
