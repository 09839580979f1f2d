package route

import "strings"

// isTime reports whether a string of a body is what edgeHub's JSON reader takes
// for a date and time. Such a string is undefined to conditions.
func isTime(s string) bool {
	if strings.HasPrefix(s, "/Date(") && strings.HasSuffix(s, ")/") {
		return isTicks(s[len("/Date(") : len(s)-len(")/")])
	}
	const shortest, longest = len("2017-03-09T00:00:00"), 40
	if len(s) < shortest || len(s) > longest || s[10] != 'T' {
		return false
	}
	return isDate(s[:10]) && isClock(s[11:19]) && isZone(afterFraction(s[19:]))
}

// isTicks recognises milliseconds with an optional offset, as in
// /Date(1489017600000+0100)/.
func isTicks(s string) bool {
	s = strings.TrimPrefix(s, "-")
	n := digits(s, isDigit)
	return n > 0 && (n == len(s) || isZone(s[n:]))
}

func isDate(s string) bool {
	year, ok1 := number(s[:4])
	month, ok2 := number(s[5:7])
	day, ok3 := number(s[8:])
	return ok1 && ok2 && ok3 && s[4] == '-' && s[7] == '-' &&
		year >= 1 && month >= 1 && month <= 12 && day >= 1 && day <= daysIn(year, month)
}

func daysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// isClock recognises hh:mm:ss; 24:00:00 is the end of a day.
func isClock(s string) bool {
	h, ok1 := number(s[:2])
	m, ok2 := number(s[3:5])
	sec, ok3 := number(s[6:])
	return ok1 && ok2 && ok3 && s[2] == ':' && s[5] == ':' &&
		m < 60 && sec < 60 && (h < 24 || h == 24 && m == 0 && sec == 0)
}

// afterFraction cuts a fraction of a second off.
func afterFraction(s string) string {
	if !strings.HasPrefix(s, ".") {
		return s
	}
	if n := digits(s[1:], isDigit); n > 0 {
		return s[1+n:]
	}
	return s
}

// isZone recognises nothing, Z, +hh, +hhmm and +hh:mm.
func isZone(s string) bool {
	switch {
	case s == "" || s == "Z":
		return true
	case s[0] != '+' && s[0] != '-':
		return false
	}
	s = s[1:]
	if len(s) == 5 && s[2] == ':' {
		s = s[:2] + s[3:]
	}
	if _, ok := number(s); !ok || len(s) != 2 && len(s) != 4 {
		return false
	}
	return len(s) == 2 || s[2:] < "60"
}

// number reads a few digits.
func number(s string) (int, bool) {
	n := 0
	for i := range len(s) {
		if !isDigit(s[i]) {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, true
}
