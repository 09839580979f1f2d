package route

import (
	"fmt"
	"slices"
	"strings"

	"sluice/internal/spelling"
)

// suspect finds what a condition probably does not mean.
func (c *checker) suspect(root *expr) []*Problem {
	c.doubts = nil
	c.visit(root)
	if t := root.typ; root.pos < root.end && t != boolType && t != bodyType {
		c.doubt(whole(root), c.neverHint(root), "the condition is a %v, which never routes anything", t)
	}
	return c.doubts
}

func whole(e *expr) token { return token{pos: e.pos, end: e.end} }

func (c *checker) neverHint(root *expr) string {
	if root.op == opProperty || root.op == opSystem {
		return "to ask whether it is there, write is_defined(" + c.text[root.pos:root.end] + ")"
	}
	return ""
}

func (c *checker) visit(e *expr) {
	switch e.op {
	case opProperty:
		c.suspectName(e)
	case opSystem, opEscaped:
		c.suspectSystem(e)
	case "=":
		c.suspectGlued(e)
	case "!=", "<>":
		c.suspectUnequal(e)
	case "OR":
		c.suspectEither(e)
	case opCall:
		c.suspectDefined(e)
	}
	for _, a := range e.args {
		if !isTwinFunction(e.name) {
			c.visit(a)
		}
	}
}

// suspectName doubts names that hold what was meant as an operator or literal.
func (c *checker) suspectName(e *expr) {
	const why = "%s is the name of a property"
	switch upper := strings.ToUpper(e.name); {
	case upper == "TRUE" || upper == "FALSE" || upper == "NULL" || upper == "UNDEFINED":
		c.doubt(e.at, "the literal is written "+strings.ToLower(e.name), why, e.name)
	case strings.HasPrefix(e.name, "'"), strings.Contains(e.name, "||"), strings.Contains(e.name, "&&"),
		strings.ContainsAny(e.name, "+*%") && len(e.name) > 1, strings.HasPrefix(e.name, "-"), isSum(e.name):
		c.doubt(e.at, "operators need spaces around them", why, e.name)
	}
}

// isSum recognises 3-2, which is a name too.
func isSum(s string) bool {
	left, right, ok := strings.Cut(s, "-")
	return ok && numberKind(left) != tokID && numberKind(right) != tokID
}

// suspectGlued doubts a!=b, which compares the property a! with b.
func (c *checker) suspectGlued(e *expr) {
	left := e.args[0]
	if left.op != opProperty && left.op != opSystem || len(left.name) < 2 || !strings.HasSuffix(left.name, "!") {
		return
	}
	name := strings.TrimSuffix(c.text[left.pos:left.end], "!")
	c.doubt(left.at, "to compare, put spaces around the operator: "+name+" != …", "%s! is the name of a property", name)
}

var systemHints = map[string]string{
	"correlationid": "the correlation id of a message is $cid",
	"deviceid":      "the sender is $connectionDeviceId",
	"moduleid":      "the sending module is $connectionModuleId",
	"body":          "a value of the body is $body.name",
}

func (c *checker) suspectSystem(e *expr) {
	if _, isBody := bodyPath(e.name); isBody {
		return
	}
	name := strings.TrimSuffix(e.name, "!")
	if newSystemName(name).known != 0 {
		return
	}
	hint := systemHints[strings.ToLower(name)]
	if near := spelling.Nearest(strings.ToLower(name), systemNames(), nil); hint == "" && near != "" {
		hint = "did you mean $" + near + "?"
	}
	c.doubt(e.at, hint, "there is no system property $%s", name)
}

// suspectUnequal doubts a comparison that holds for all bodies without the
// value: what is missing in a body is null.
func (c *checker) suspectUnequal(e *expr) {
	for i, a := range e.args {
		other := e.args[1-i]
		if a.typ == bodyType && isProperty(a) && other.op == opLiteral && other.typ != nullType {
			text := c.text[a.pos:a.end]
			c.doubt(whole(e), fmt.Sprintf("if that is not meant, add AND NOT is_null(%s)", text),
				"this is also true of a body that has no %s: what is missing in a body is null", text)
			return
		}
	}
}

func isProperty(e *expr) bool { return e.op == opSystem || e.op == opEscaped }

// suspectEither doubts an OR whose body value, if it is no bool, makes the whole
// undefined even where the other side is true.
func (c *checker) suspectEither(e *expr) {
	for _, a := range e.args {
		if a.typ == bodyType && isProperty(a) {
			text := c.text[a.pos:a.end]
			c.doubt(a.at, fmt.Sprintf("write %s = true", text),
				"unless %s is a bool, this OR is undefined even if its other side is true", text)
		}
	}
}

func (c *checker) suspectDefined(e *expr) {
	if !strings.EqualFold(e.name, "is_defined") || len(e.args) != 1 {
		return
	}
	if a := e.args[0]; a.typ == bodyType && isProperty(a) {
		text := c.text[a.pos:a.end]
		c.doubt(whole(e), fmt.Sprintf("write NOT is_null(%s)", text),
			"this is also true of a body that has no %s: what is missing in a body is null", text)
	}
}

// suspectSource doubts a source that no message has.
func (p *parser) suspectSource(path string, t token) {
	steps := newPattern(path).segments()
	for i, s := range steps {
		if strings.Contains(s, "*") || strings.HasSuffix(path, s+"*") && i == len(steps)-1 {
			p.doubt(t, "a source ends in /*, or names whole steps", "a star within or before a step is a character like any other")
			return
		}
	}
	if !reachable(steps) {
		p.doubt(t, p.reachableHint(steps), "no message has this source")
	}
}

// reachable reports whether messages can come from below a path.
func reachable(steps []string) bool {
	is := func(i int, word string) bool { return i >= len(steps) || strings.EqualFold(steps[i], word) }
	if is(0, "twinChangeNotifications") && len(steps) <= 1 {
		return true
	}
	return is(0, "messages") && is(1, "modules") && is(3, "outputs") && len(steps) <= 5
}

func (p *parser) reachableHint(steps []string) string {
	first := strings.ToLower(steps[0])
	switch {
	case first == "messages" && len(steps) >= 2 && strings.EqualFold(steps[1], "events"):
		return "telemetry is /messages/*"
	case strings.HasSuffix(first, "notifications") || strings.HasSuffix(first, "events"):
		return "a gateway routes telemetry, what modules send, and /twinChangeNotifications"
	}
	return "sources are /*, /messages/*, /messages/modules/MODULE/outputs/OUTPUT and /twinChangeNotifications"
}

func (p *parser) suspectAddress(address string, t token) {
	steps := strings.Split(strings.Trim(strings.TrimSpace(address), "/"), "/")
	if !strings.EqualFold(steps[0], "modules") || !strings.EqualFold(steps[2], "inputs") {
		p.doubt(t, `as in "/modules/m/inputs/i"`, "the first and the third step are not looked at")
	}
}

// loops doubts a route that leads back what its module sends.
func (p *parser) loops(r *Route, t token) []*Problem {
	steps := r.from.segments()
	own := Source{Module: r.into.Module, Output: "*"}
	switch {
	case r.into.IsUpstream() || len(steps) == 1 && !r.from.Match(own):
		return nil
	case len(steps) >= 3 && steps[2] == r.into.Module:
		return []*Problem{p.problem(t, "", "module %s gets what it sends itself: make sure that it does not send that on", r.into.Module)}
	case len(steps) < 3 && !r.distinguishesModules():
		return []*Problem{p.problem(t, "for leaf devices only, add WHERE NOT is_defined($connectionModuleId)",
			"module %s also gets what modules send, itself included", r.into.Module)}
	}
	return nil
}

// distinguishesModules reports whether the condition asks which module sent.
func (r *Route) distinguishesModules() bool {
	return r.condition != nil && r.condition.root.mentions("connectionModuleId", "outputName")
}

func (e *expr) mentions(names ...string) bool {
	if isProperty(e) && slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, e.name) }) {
		return true
	}
	return slices.ContainsFunc(e.args, func(a *expr) bool { return a.mentions(names...) })
}
