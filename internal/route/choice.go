package route

import (
	"slices"
	"strings"
)

// choice is a group of entries of one site whose conditions all ask for some
// value of the same expression, as in kind = 'a' AND …. Those with the message's
// value are found without trying the others.
type choice struct {
	read    evalFunc // the expression
	slots   []int    // of its body paths
	byValue map[value][]int
}

func (c *choice) try(m *match) {
	f := m.view()
	f.left, f.slots = budget, c.slots
	v := c.read(f)
	for _, i := range c.byValue[v] {
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

// largest finds the expression that most entries ask for.
func (s *site) largest(entries []entry) (text string, members []int) {
	byText := map[string][]int{}
	for _, i := range s.entries {
		for _, d := range entries[i].demands() {
			if list := byText[d.text]; len(list) == 0 || list[len(list)-1] != i {
				byText[d.text] = append(list, i)
			}
		}
	}
	for t, list := range byText {
		if len(list) > len(members) || len(list) == len(members) && t < text {
			text, members = t, list
		}
	}
	return text, members
}

// choose makes a choice of the members, which all demand something of the
// expression of the given text.
func (s *site) choose(text string, members []int, entries []entry) {
	c := choice{byValue: map[value][]int{}}
	for _, i := range members {
		demands := entries[i].demands()
		d := demands[slices.IndexFunc(demands, func(d demand) bool { return d.text == text })]
		c.read, c.slots = d.read, entries[i].slots
		c.byValue[d.value] = append(c.byValue[d.value], i)
	}
	s.chosen = append(s.chosen, c)
	s.entries = slices.DeleteFunc(s.entries, func(i int) bool { return slices.Contains(members, i) })
}

// demand is a value that an expression must have for a condition to be true.
type demand struct {
	text  string // of the expression, the same however it was written
	read  evalFunc
	value value
}

func (e *entry) demands() []demand {
	if e.condition == nil {
		return nil
	}
	return e.condition.root.demands(nil)
}

// demands finds comparisons for equality that must hold for e to be true. Two
// values of one kind are equal if they are the same.
func (e *expr) demands(found []demand) []demand {
	switch {
	case e.op == "AND":
		return e.args[1].demands(e.args[0].demands(found))
	case e.op != "=":
		return found
	}
	asked, literal := e.args[0], e.args[1]
	if asked.op == opLiteral {
		asked, literal = literal, asked
	}
	if asked.op == opLiteral || literal.op != opLiteral || literal.value.kind == isUndefined {
		return found
	}
	var b strings.Builder
	asked.format(&b, 0)
	return append(found, demand{b.String(), asked.eval, literal.value})
}
