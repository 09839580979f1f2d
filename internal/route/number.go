package route

import (
	"math"
	"strconv"
	"strings"
)

// parseNumber reads text as edgeHub's as_number does: white space at both ends, a
// sign at one of them or parentheses for less than zero, the currency sign ¤,
// commas between digits, a fraction and an exponent; or Infinity.
func parseNumber(s string) (float64, bool) {
	if isPlain(s) {
		f, _ := strconv.ParseFloat(s, 64) // only ErrRange is possible, with ±Inf
		return f, true
	}
	n := numberText{rest: s}
	if f, ok := n.parse(); ok {
		return f, true
	}
	return parseInfinity(strings.Trim(s, numberSpace))
}

// isPlain reports whether s is digits, perhaps behind a minus and with a
// fraction. This is what nearly all numbers are.
func isPlain(s string) bool {
	s = strings.TrimPrefix(s, "-")
	n := digits(s, isDigit)
	if n == 0 || n == len(s) {
		return n > 0
	}
	return s[n] == '.' && n+1 < len(s) && digits(s[n+1:], isDigit) == len(s)-n-1
}

func parseInfinity(s string) (float64, bool) {
	switch {
	case strings.EqualFold(s, "Infinity"), strings.EqualFold(s, "+Infinity"):
		return math.Inf(1), true
	case strings.EqualFold(s, "-Infinity"):
		return math.Inf(-1), true
	}
	return 0, false
}

const (
	numberSpace = " \t\n\v\f\r"
	currency    = "¤"
)

// numberText is the number that is being read.
type numberText struct {
	rest     string
	clean    []byte // in the form of strconv
	signed   bool
	negative bool
	parens   bool
	currency bool
}

func (n *numberText) parse() (float64, bool) {
	n.lead()
	if !n.digits() {
		return 0, false
	}
	n.exponent()
	n.trail()
	if n.rest != "" || n.parens {
		return 0, false
	}
	f, _ := strconv.ParseFloat(string(n.clean), 64) // only ErrRange is possible, with ±Inf
	if n.negative {
		f = -f
	}
	return f, true
}

// lead reads what may stand before the digits. No space may follow a sign.
func (n *numberText) lead() {
	for n.rest != "" {
		switch {
		case n.space() && (!n.signed || n.currency):
			n.rest = n.rest[1:]
		case n.sign(), n.money():
		case n.rest[0] == '(' && !n.signed:
			n.signed, n.negative, n.parens = true, true, true
			n.rest = n.rest[1:]
		default:
			return
		}
	}
}

func (n *numberText) space() bool { return strings.IndexByte(numberSpace, n.rest[0]) >= 0 }

// sign reads a sign if there was none.
func (n *numberText) sign() bool {
	if n.signed || n.rest[0] != '+' && n.rest[0] != '-' {
		return false
	}
	n.signed, n.negative = true, n.rest[0] == '-'
	n.rest = n.rest[1:]
	return true
}

// money reads the currency sign if there was none.
func (n *numberText) money() bool {
	if n.currency || !strings.HasPrefix(n.rest, currency) {
		return false
	}
	n.currency = true
	n.rest = n.rest[len(currency):]
	return true
}

// digits reads digits with at most one point. Commas may stand anywhere between
// the first digit and the point.
func (n *numberText) digits() bool {
	seen, point := false, false
	for n.rest != "" {
		c := n.rest[0]
		switch {
		case isDigit(c):
			seen = true
			n.clean = append(n.clean, c)
		case c == '.' && !point:
			point = true
			n.clean = append(n.clean, c)
		case c != ',' || !seen || point:
			return seen
		}
		n.rest = n.rest[1:]
	}
	return seen
}

// exponent reads one if it is whole.
func (n *numberText) exponent() {
	end := len(n.rest)
	for end > 0 && !isExponent(n.rest[:end]) {
		end--
	}
	n.clean = append(n.clean, n.rest[:end]...)
	n.rest = n.rest[end:]
}

// trail reads what may stand behind the digits.
func (n *numberText) trail() {
	for n.rest != "" {
		switch {
		case n.space():
			n.rest = n.rest[1:]
		case n.sign(), n.money():
		case n.rest[0] == ')' && n.parens:
			n.parens = false
			n.rest = n.rest[1:]
		default:
			return
		}
	}
}
