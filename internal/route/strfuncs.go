package route

// concat joins strings. One that is null adds nothing.
func concat(args []arg) evalFunc {
	return func(f *frame) value {
		joined := ""
		for i, a := range args {
			v := a.eval(f)
			if v.kind == isUndefined || !f.spend(len(joined)+len(v.str)) {
				return undefined
			}
			if i == 0 || joined == "" {
				joined = v.str
			} else if v.str != "" {
				joined = joinAt(joined, v.str)
			}
		}
		return stringValue(joined)
	}
}

// joinAt joins two strings, and the halves of a pair that meet.
func joinAt(a, b string) string {
	if isLone(b) && len(a) >= 3 && isLone(a[len(a)-3:]) {
		return a[:len(a)-3] + joinSurrogates(a[len(a)-3:]+b[:3]) + b[3:]
	}
	return a + b
}

// joinStrings makes || the function concat.
func joinStrings(e *expr) {
	fm := functions["concat"][0]
	e.typ, e.eval = stringType, fm.make(arguments(e.args, fm))
}

func length(args []arg) evalFunc {
	x := args[0].eval
	return func(f *frame) value {
		v := x(f)
		if v.kind != isString || !f.spend(len(v.str)) {
			return undefined
		}
		return numberValue(float64(unitsIn(v.str)))
	}
}

func letters(to func(rune) rune) func([]arg) evalFunc {
	return func(args []arg) evalFunc {
		x := args[0].eval
		return func(f *frame) value {
			v := x(f)
			if v.kind != isString || !f.spend(2*len(v.str)) {
				return undefined
			}
			return stringValue(mapLetters(v.str, to))
		}
	}
}

// tail is substring with a start.
func tail(args []arg) evalFunc {
	x, from := args[0].eval, args[1].eval
	return func(f *frame) value {
		s, start := x(f), from(f)
		if s.kind != isString || start.kind != isNumber || !f.spend(2*len(s.str)) {
			return undefined
		}
		n := unitsIn(s.str)
		if start.num < 0 || start.num > float64(n) {
			return undefined
		}
		return stringValue(cut(s.str, int(start.num), n))
	}
}

// middle is substring with a start and a length. The start must be within the
// string, not at its end, and both count as they are given before they are
// rounded down.
func middle(args []arg) evalFunc {
	x, from, count := args[0].eval, args[1].eval, args[2].eval
	return func(f *frame) value {
		s, start, size := x(f), from(f), count(f)
		if s.kind != isString || start.kind != isNumber || size.kind != isNumber || !f.spend(2*len(s.str)) {
			return undefined
		}
		n := float64(unitsIn(s.str))
		if start.num < 0 || start.num >= n || size.num < 0 || size.num > n-start.num {
			return undefined
		}
		begin := int(start.num)
		return stringValue(cut(s.str, begin, begin+int(size.num)))
	}
}

func indexOf(args []arg) evalFunc {
	x, y := args[0].eval, args[1].eval
	return func(f *frame) value {
		s, sub := x(f), y(f)
		if s.kind != isString || sub.kind != isString || !f.spend(len(s.str)+len(sub.str)) {
			return undefined
		}
		return numberValue(float64(indexUnits(s.str, sub.str)))
	}
}

func search(found func(s, sub string) bool) []form {
	return []form{{params: []typ{stringType, stringType}, result: boolType, make: func(args []arg) evalFunc {
		x, y := args[0].eval, args[1].eval
		return func(f *frame) value {
			s, sub := x(f), y(f)
			if s.kind != isString || sub.kind != isString || !f.spend(len(s.str)+len(sub.str)) {
				return undefined
			}
			return boolValue(found(s.str, sub.str))
		}
	}}}
}
