package route

import (
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// The language counts and orders strings in UTF-16 code units. They are kept in
// UTF-8 all the same. A surrogate by itself, which a literal can hold and
// substring can cut off, is kept as the three bytes that its code would have.
// What is no UTF-8 counts as one unit for each byte.

// appendUnit appends one code unit to b.
func appendUnit(b []byte, u uint16) []byte {
	if utf16.IsSurrogate(rune(u)) {
		return append(b, 0xE0|byte(u>>12), 0x80|byte(u>>6)&0x3F, 0x80|byte(u)&0x3F)
	}
	return utf8.AppendRune(b, rune(u))
}

// unit decodes the character that s begins with into one code unit or two, and
// tells its length in bytes. The second unit is 0 if there is none.
func unit(s string) (first, second uint16, size int) {
	r, n := utf8.DecodeRuneInString(s)
	if n == 1 && r == utf8.RuneError {
		if isLone(s) {
			return 0xD000 | uint16(s[1]&0x3F)<<6 | uint16(s[2]&0x3F), 0, 3
		}
		return 0xFFFD, 0, 1
	}
	if r > 0xFFFF {
		hi, lo := utf16.EncodeRune(r)
		return uint16(hi), uint16(lo), n
	}
	return uint16(r), 0, n
}

// isLone reports whether s begins with a surrogate by itself.
func isLone(s string) bool {
	return len(s) >= 3 && s[0] == 0xED && 0xA0 <= s[1] && s[1] <= 0xBF && s[2]&0xC0 == 0x80
}

// unitsIn counts the code units of s.
func unitsIn(s string) int {
	n := 0
	for i := 0; i < len(s); {
		if s[i] < utf8.RuneSelf {
			i, n = i+1, n+1
			continue
		}
		_, second, size := unit(s[i:])
		i, n = i+size, n+1
		if second != 0 {
			n++
		}
	}
	return n
}

// cut returns the code units [from, to) of s, which must be within it. A pair
// that an end goes through is halved.
func cut(s string, from, to int) string {
	begin, halfBegin := seek(s, from)
	end, halfEnd := seek(s, to)
	if !halfBegin && !halfEnd {
		return s[begin:end]
	}
	if from >= to {
		return ""
	}
	var b []byte
	if halfBegin {
		_, second, size := unit(s[begin:])
		b = appendUnit(b, second)
		begin += size
	}
	b = append(b, s[begin:end]...)
	if halfEnd {
		first, _, _ := unit(s[end:])
		b = appendUnit(b, first)
	}
	return string(b)
}

// seek finds the byte where code unit n of s begins; half if that is within a
// pair, which then begins there.
func seek(s string, n int) (at int, half bool) {
	for n > 0 && at < len(s) {
		_, second, size := unit(s[at:])
		if second != 0 {
			if n == 1 {
				return at, true
			}
			n--
		}
		n--
		at += size
	}
	return at, false
}

// compareUnits orders strings by code units; it is 0 for the same bytes alone. UTF-8 has the same order but for
// pairs, which it puts behind everything else.
func compareUnits(a, b string) int {
	n := min(len(a), len(b))
	i := 0
	for i < n && a[i] == b[i] {
		i++
	}
	switch {
	case i == n:
		return len(a) - len(b)
	case a[i] < 0xED || b[i] < 0xED:
		return int(a[i]) - int(b[i])
	}
	a1, a2, _ := unit(a[i:])
	b1, b2, _ := unit(b[i:])
	switch {
	case a1 != b1:
		return int(a1) - int(b1)
	case a2 != b2:
		return int(a2) - int(b2)
	}
	return int(a[i]) - int(b[i]) // not UTF-8, and yet not the same
}

// joinSurrogates makes pairs of surrogates that stand side by side.
func joinSurrogates(s string) string {
	at := strings.IndexByte(s, 0xED)
	if at < 0 {
		return s
	}
	b := append(make([]byte, 0, len(s)), s[:at]...)
	for s = s[at:]; s != ""; {
		if isLone(s) && isLone(s[3:]) {
			hi, _, _ := unit(s)
			lo, _, _ := unit(s[3:])
			if r := utf16.DecodeRune(rune(hi), rune(lo)); r != unicode.ReplacementChar {
				b, s = utf8.AppendRune(b, r), s[6:]
				continue
			}
		}
		b, s = append(b, s[0]), s[1:]
	}
	return string(b)
}

// indexUnits finds sub in s, in code units; -1 if it is not there.
func indexUnits(s, sub string) int {
	at := strings.Index(s, sub)
	if at < 0 {
		return -1
	}
	return unitsIn(s[:at])
}

// mapLetters changes the case of letters one by one, and leaves what is no
// UTF-8 alone.
func mapLetters(s string, to func(rune) rune) string {
	var b []byte // nil until a letter differs
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		c := r
		if r != utf8.RuneError {
			c = to(r)
		}
		if b == nil && c != r {
			b = append(make([]byte, 0, len(s)+8), s[:i]...)
		}
		switch {
		case b == nil:
		case c != r:
			b = utf8.AppendRune(b, c)
		default:
			b = append(b, s[i:i+n]...)
		}
		i += n
	}
	if b == nil {
		return s
	}
	return string(b)
}

// upper and lower know no language: the dotted and the dotless i of Turkish
// have no partner.
func upper(r rune) rune {
	if r == 'ı' {
		return r
	}
	return unicode.ToUpper(r)
}

func lower(r rune) rune {
	if r == 'İ' {
		return r
	}
	return unicode.ToLower(r)
}
