package query

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
)

// A function computes a value of values. It is undefined for arguments of other
// types than it takes.
type function struct {
	name     string
	min, max int // number of arguments
	apply    func([]value) value
}

// many arguments are as many as a query has room for.
const many = MaxLength

func functionNamed(name string) (function, bool) {
	name = strings.ToUpper(name)
	if plain, ok := spellings[name]; ok {
		name = plain
	}
	i := slices.IndexFunc(functions, func(f function) bool { return f.name == name })
	if i < 0 {
		return function{}, false
	}
	return functions[i], true
}

// spellings that people use for functions with another name.
var spellings = map[string]string{"STARTSWITH": "STARTS_WITH", "ENDSWITH": "ENDS_WITH", "INDEXOF": "INDEX_OF"}

var functions = []function{
	{"ABS", 1, 1, onNumber(math.Abs)},
	{"AS_NUMBER", 1, 1, asNumber},
	{"CEILING", 1, 1, onNumber(math.Ceil)},
	{"CONCAT", 2, many, concat},
	{"CONTAINS", 2, 2, onTexts(func(a, b string) value { return boolOf(strings.Contains(a, b)) })},
	{"ENDS_WITH", 2, 2, onTexts(func(a, b string) value { return boolOf(strings.HasSuffix(a, b)) })},
	{"EXP", 1, 1, onNumber(math.Exp)},
	{"FLOOR", 1, 1, onNumber(math.Floor)},
	{"INDEX_OF", 2, 2, onTexts(indexOf)},
	{"IS_ARRAY", 1, 1, isOf(array)},
	{"IS_BOOL", 1, 1, isOf(boolean)},
	{"IS_DEFINED", 1, 1, isOf(null, boolean, number, text, array, object)},
	{"IS_NULL", 1, 1, isOf(null)},
	{"IS_NUMBER", 1, 1, isOf(number)},
	{"IS_OBJECT", 1, 1, isOf(object)},
	{"IS_PRIMITIVE", 1, 1, isOf(null, boolean, number, text)},
	{"IS_STRING", 1, 1, isOf(text)},
	{"LENGTH", 1, 1, onText(func(s string) value { return numberOf(float64(length(s))) })},
	{"LOWER", 1, 1, onText(func(s string) value { return textOf(strings.ToLower(s)) })},
	{"POWER", 2, 2, func(args []value) value { return calculating(math.Pow)(args[0], args[1]) }},
	{"SIGN", 1, 1, onNumber(sign)},
	{"SQRT", 1, 1, onNumber(math.Sqrt)},
	{"SQUARE", 1, 1, onNumber(func(n float64) float64 { return n * n })},
	{"STARTS_WITH", 2, 2, onTexts(func(a, b string) value { return boolOf(strings.HasPrefix(a, b)) })},
	{"SUBSTRING", 2, 3, substring},
	{"UPPER", 1, 1, onText(func(s string) value { return textOf(strings.ToUpper(s)) })},
}

func isOf(kinds ...kind) func([]value) value {
	return func(args []value) value { return boolOf(slices.Contains(kinds, args[0].kind)) }
}

func onNumber(of func(float64) float64) func([]value) value {
	return func(args []value) value {
		if args[0].kind != number {
			return value{}
		}
		return numberOf(of(args[0].num))
	}
}

func onText(of func(string) value) func([]value) value {
	return func(args []value) value {
		if args[0].kind != text {
			return value{}
		}
		return of(args[0].str)
	}
}

func onTexts(of func(a, b string) value) func([]value) value {
	return func(args []value) value {
		if args[0].kind != text || args[1].kind != text {
			return value{}
		}
		return of(args[0].str, args[1].str)
	}
}

func sign(n float64) float64 {
	switch {
	case n > 0:
		return 1
	case n < 0:
		return -1
	}
	return 0
}

func asNumber(args []value) value {
	switch args[0].kind {
	case number:
		return args[0]
	case text:
		if n, err := strconv.ParseFloat(strings.TrimSpace(args[0].str), 64); err == nil {
			return numberOf(n)
		}
	}
	return value{}
}

func concat(args []value) value {
	var b strings.Builder
	for _, arg := range args {
		if arg.kind != text {
			return value{}
		}
		b.WriteString(arg.str)
	}
	return textOf(b.String())
}

// length counts as the service does, in the 16-bit units of .NET's strings.
func length(s string) int {
	n := 0
	for _, r := range s {
		n += utf16.RuneLen(r)
	}
	return n
}

func indexOf(s, part string) value {
	at := strings.Index(s, part)
	if at < 0 {
		return numberOf(-1)
	}
	return numberOf(float64(length(s[:at])))
}

// substring takes a start and perhaps a length, in the units of length. Half of
// a surrogate pair at either end becomes the replacement character.
func substring(args []value) value {
	if args[0].kind != text || slices.ContainsFunc(args[1:], func(v value) bool { return v.kind != number || v.num < 0 || v.num != math.Trunc(v.num) }) {
		return value{}
	}
	units := utf16.Encode([]rune(args[0].str))
	start := min(args[1].num, float64(len(units)))
	end := float64(len(units))
	if len(args) == 3 {
		end = min(end, start+args[2].num)
	}
	return textOf(string(utf16.Decode(units[int(start):int(end)])))
}
