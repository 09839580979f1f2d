package route

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"sluice/iot"
)

// Verdict says what one rule makes of a message, and why.
type Verdict struct {
	Rule
	FromMatches bool   // the source is meant
	Result      Result // of the condition; True without one, Undefined if the source is not meant
	Taken       bool   // the message goes this way
	OutdoneBy   string // rule that sends it to the same endpoint instead; "" if Taken
	Parts       []Part // what kept the condition from being true, in the order of the text
}

// Part is a part of a condition that was not as it would have to be.
type Part struct {
	Text   string // as written
	Result string // "false", "undefined", or a value that is no bool
	Inputs []Input
}

// Input is a property, a function or a body value in a Part.
type Input struct {
	Text  string // as written
	Value string // as a literal
	Note  string // why it is undefined, or ""
}

// Explain says what each rule makes of a message of the given source. It is
// slow, and for people.
func (t *Table) Explain(msg *iot.Message, src Source) []Verdict {
	out := make([]Verdict, len(t.rules))
	targets := t.Match(msg, src)
	for i, r := range t.rules {
		out[i] = t.verdict(i, r, msg, src)
		at := slices.IndexFunc(targets, func(g Target) bool { return g.Endpoint == r.Route.into })
		if out[i].Result != True || at < 0 {
			continue
		}
		if out[i].Taken = targets[at].Route == r.Name; !out[i].Taken {
			out[i].OutdoneBy = targets[at].Route
		}
	}
	return out
}

func (t *Table) verdict(i int, r Rule, msg *iot.Message, src Source) Verdict {
	v := Verdict{Rule: r, FromMatches: r.Route.from.Match(src)}
	e := &t.entries[i]
	switch {
	case !v.FromMatches:
	case e.condition == nil:
		v.Result = True
	default:
		f := newFrame(msg, t.paths)
		defer f.release()
		if v.Result = f.eval(e.condition, e.slots); v.Result != True {
			f.left = budget
			v.Parts = f.blame(e.condition.text, e.condition.root, e.condition.root.pos, true, nil)
		}
	}
	return v
}

// blame finds the parts of e that kept it from being what was wanted. text is
// that of the condition, which begins at byte offset from.
func (f *frame) blame(text string, e *expr, from int, want bool, parts []Part) []Part {
	v := e.eval(f)
	if v.kind == isBool && (v.num != 0) == want {
		return parts
	}
	switch e.op {
	case "AND", "OR":
		for _, a := range e.args {
			parts = f.blame(text, a, from, want, parts)
		}
		return parts
	case "NOT":
		return f.blame(text, e.args[0], from, !want, parts)
	}
	p := Part{Text: text[e.pos-from : e.end-from], Result: v.text()}
	return append(parts, p.with(f, e, text, from))
}

// with adds the inputs of e.
func (p Part) with(f *frame, e *expr, text string, from int) Part {
	for _, a := range e.args {
		if a.op != opLiteral && a.eval != nil && !isTwinFunction(e.name) {
			in := Input{Text: text[a.pos-from : a.end-from], Value: a.eval(f).text(), Note: f.note(a)}
			if !slices.Contains(p.Inputs, in) {
				p.Inputs = append(p.Inputs, in)
			}
			p = p.with(f, a, text, from)
		}
	}
	return p
}

// note says why a property or body value is undefined.
func (f *frame) note(e *expr) string {
	if !isProperty(e) && e.op != opProperty {
		return ""
	}
	kind := e.eval(f).kind
	switch {
	case e.typ == bodyType && kind == isUndefined && (!f.body.typed || f.body.state == bodyUnreadable):
		return f.bodyNote()
	case e.typ == bodyType && kind == isUndefined:
		return "objects, arrays and times are undefined to conditions"
	case e.typ == bodyType && kind == isNull:
		return "what is missing in a body is null"
	case kind != isUndefined:
		return ""
	case e.op == opProperty:
		return "the message has no such application property"
	}
	return "the message has no such system property"
}

// bodyNote says why the body cannot be read.
func (f *frame) bodyNote() string {
	kind, encoding := f.system(contentType).str, f.system(contentEncoding).str
	switch {
	case !strings.EqualFold(kind, "application/json"):
		return fmt.Sprintf("the body is not looked at: its contentType is %q, not application/json", kind)
	case !knownEncoding(encoding):
		return fmt.Sprintf("the body is not looked at: its contentEncoding is %q, not utf-8, utf-16 or utf-32", encoding)
	}
	return "the body is no JSON object in " + encoding
}

// text is the value as a literal.
func (v value) text() string {
	switch v.kind {
	case isBool:
		return strconv.FormatBool(v.num != 0)
	case isNumber:
		return numberText64(v.num)
	case isString:
		return quote(shorten(v.str))
	case isNull:
		return "null"
	}
	return "undefined"
}

func numberText64(x float64) string {
	if math.IsInf(x, 0) {
		return fmt.Sprintf("%+g", x)
	}
	return strconv.FormatFloat(x, 'g', -1, 64)
}
