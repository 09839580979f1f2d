package route

import "strings"

func isTwinFunction(name string) bool { return strings.EqualFold(name, "twin_change_includes") }

// twinFunction is twin_change_includes(properties.reported.a): whether a twin
// change has something there. Its argument is a path, not an expression. The
// body of a twin change is the patch of the reported properties itself; one
// that is wrapped in properties and reported will do as well.
func (c *checker) twinFunction(e *expr) {
	if !c.from.isTwinChange() {
		c.wrong(e, "use it in a route FROM /twinChangeNotifications", "twin_change_includes is only for routes of twin changes")
		return
	}
	path := ""
	if len(e.args) == 1 && e.args[0].op == opProperty {
		path = e.args[0].name
	}
	rest, reported := cutFold(path, "properties.reported.")
	_, desired := cutFold(path, "properties.desired.")
	_, tags := cutFold(path, "tags.")
	whole, _, err := parsePath(path)
	if !reported && !desired && !tags || err != nil {
		c.wrong(e, "as in twin_change_includes(properties.reported.temperature)",
			"twin_change_includes takes a path below properties.reported, properties.desired or tags")
		return
	}
	wrapped := c.slot(whole)
	bare := wrapped
	if reported {
		steps, _, _ := parsePath(rest) // a part of what parsed
		bare = c.slot(steps)
	}
	e.typ, e.eval = boolType, func(f *frame) value { return f.bodyHas(wrapped, bare) }
}

// bodyHas reports whether the body has anything in one of two slots.
func (f *frame) bodyHas(a, b int) value {
	f.readBody()
	if f.body.state != bodyRead {
		return undefined
	}
	return boolValue(f.body.found[f.slots[a]].times > 0 || f.body.found[f.slots[b]].times > 0)
}

func cutFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}
