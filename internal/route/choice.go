package route

import (
	"slices"
	"strings"
)

// choice is a group of entries of one site whose conditions all ask for some
// value of the same property, as in kind = 'a' AND …. Those with the message's
// value are found without trying the others.
type choice struct {
	read    evalFunc // the property
	byValue map[string][]int
}

func (c *choice) try(m *match) {
	f := m.view()
	f.left = budget
	v := c.read(f)
	if v.kind != isString {
		return
	}
	for _, i := range c.byValue[v.str] {
		m.try(i)
	}
}

// worthwhile is how many entries a choice must have: trying fewer is as fast.
const worthwhile = 4

// index moves entries to choices, at this site and all below it. An entry that
// could be in several goes where most entries are.
func (s *site) index(entries []entry) {
	for _, b := range s.below {
		b.index(entries)
	}
	for {
		name, members := s.largest(entries)
		if len(members) < worthwhile {
			return
		}
		s.choose(name, members, entries)
	}
}

// largest finds the property that most entries ask for.
func (s *site) largest(entries []entry) (name string, members []int) {
	byName := map[string][]int{}
	for _, i := range s.entries {
		for _, d := range entries[i].demands() {
			if list := byName[d.name]; len(list) == 0 || list[len(list)-1] != i {
				byName[d.name] = append(list, i)
			}
		}
	}
	for n, list := range byName {
		if len(list) > len(members) || len(list) == len(members) && n < name {
			name, members = n, list
		}
	}
	return name, members
}

// choose makes a choice of the members, which all demand the named property.
func (s *site) choose(name string, members []int, entries []entry) {
	c := choice{byValue: map[string][]int{}}
	for _, i := range members {
		demands := entries[i].demands()
		d := demands[slices.IndexFunc(demands, func(d demand) bool { return d.name == name })]
		c.read = d.read
		c.byValue[d.value] = append(c.byValue[d.value], i)
	}
	s.chosen = append(s.chosen, c)
	s.entries = slices.DeleteFunc(s.entries, func(i int) bool { return slices.Contains(members, i) })
}

// demand is a value that a property must have for a condition to be true.
type demand struct {
	name  string // of the property, in lower case and as it is looked up
	read  evalFunc
	value string
}

func (e *entry) demands() []demand {
	if e.condition == nil {
		return nil
	}
	return e.condition.root.demands(nil)
}

// demands finds comparisons for equality that must hold for e to be true.
func (e *expr) demands(found []demand) []demand {
	switch {
	case e.op == "AND":
		return e.args[1].demands(e.args[0].demands(found))
	case e.op != "=":
		return found
	}
	name, literal := e.args[0], e.args[1]
	if name.op == opLiteral {
		name, literal = literal, name
	}
	property := name.op == opProperty || isProperty(name)
	if !property || name.typ != stringType || literal.op != opLiteral || literal.typ != stringType {
		return found
	}
	return append(found, demand{name.op + strings.ToLower(name.name), name.eval, literal.value.str})
}
