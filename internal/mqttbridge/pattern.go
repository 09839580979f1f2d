package mqttbridge

import (
	"fmt"
	"slices"
	"strings"

	"sluice/mqtt"
)

// A pattern is a topic with names for levels: device/{id}/message. In topics that
// come from the field + stands for one level and # at the end for all that are
// left.
type pattern struct {
	text   string
	levels []level
}

type level struct {
	name    string // of {name}
	literal string // if there is no name; + and # too
}

func (l *level) one() bool  { return l.name != "" || l.literal == "+" }
func (l *level) rest() bool { return l.name == "" && l.literal == "#" }

func parsePattern(text string) (*pattern, error) {
	p := &pattern{text: text}
	for _, part := range strings.Split(text, "/") {
		l := level{literal: part}
		if strings.HasPrefix(part, "{") && strings.HasSuffix(part, "}") {
			l = level{name: part[1 : len(part)-1]}
			if !validName(l.name) {
				return nil, fmt.Errorf("topic %q: %s is no name: letters, digits and underscores in braces", text, part)
			}
			if p.index(l.name) >= 0 {
				return nil, fmt.Errorf("topic %q has {%s} twice", text, l.name)
			}
		} else if strings.ContainsAny(part, "{}") {
			return nil, fmt.Errorf("topic %q: a name in braces is a whole level, which %q is not", text, part)
		}
		p.levels = append(p.levels, l)
	}
	if !mqtt.ValidFilter(p.filter()) {
		return nil, fmt.Errorf("topic %q is no topic: + is a whole level, and # the last", text)
	}
	return p, nil
}

func validName(s string) bool {
	for _, r := range s {
		if r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') {
			return false
		}
	}
	return s != ""
}

// index is the place of a name, or -1.
func (p *pattern) index(name string) int {
	for i := range p.levels {
		if p.levels[i].name == name {
			return i
		}
	}
	return -1
}

// needs reports which of the names are missing, and whether there is a wildcard,
// which a topic that is published to cannot have.
func (p *pattern) needs(publish bool, names ...string) error {
	for _, n := range names {
		if p.index(n) < 0 {
			return fmt.Errorf("topic %q needs a level {%s}", p.text, n)
		}
	}
	for _, l := range p.levels {
		if publish && l.name == "" && (l.literal == "+" || l.literal == "#") {
			return fmt.Errorf("topic %q is published to, and has a wildcard", p.text)
		}
		if publish && l.name != "" && !slices.Contains(names, l.name) {
			return fmt.Errorf("topic %q: {%s} is not known here; there are {%s}", p.text, l.name, strings.Join(names, "}, {"))
		}
	}
	return nil
}

// filter is the topic filter that matches what the pattern does, and perhaps more.
func (p *pattern) filter() string {
	parts := make([]string, len(p.levels))
	for i, l := range p.levels {
		parts[i] = l.literal
		if l.name != "" {
			parts[i] = "+"
		}
	}
	return strings.Join(parts, "/")
}

// match reports whether a topic has the pattern's form, and calls each with the
// names' values.
func (p *pattern) match(topic string, each func(name, value string)) bool {
	if !p.matches(topic) {
		return false
	}
	rest := topic
	for i := range p.levels {
		var part string
		part, rest, _ = strings.Cut(rest, "/")
		if name := p.levels[i].name; name != "" {
			each(name, part)
		}
	}
	return true
}

func (p *pattern) matches(topic string) bool {
	if strings.HasPrefix(topic, "$") && (p.levels[0].one() || p.levels[0].rest()) {
		return false // as a filter would not [MQTT-4.7.2-1]
	}
	rest, more := topic, true
	for i := range p.levels {
		l := &p.levels[i]
		if l.rest() {
			return true
		}
		if !more {
			return false
		}
		var part string
		part, rest, more = strings.Cut(rest, "/")
		if !l.one() && part != l.literal {
			return false
		}
	}
	return !more
}

// topic is the pattern with values for its names, given in pairs.
func (p *pattern) topic(pairs ...string) string {
	var b strings.Builder
	for i, l := range p.levels {
		if i > 0 {
			b.WriteByte('/')
		}
		if l.name == "" {
			b.WriteString(l.literal)
			continue
		}
		for j := 0; j+1 < len(pairs); j += 2 {
			if pairs[j] == l.name {
				b.WriteString(pairs[j+1])
			}
		}
	}
	return b.String()
}

// reach is what of a pattern's topics a filter matches: those of one leaf, those of
// all, or none.
func (p *pattern) reach(filter string) (leaf string, all, any bool) {
	parts := strings.Split(filter, "/")
	at := p.index("id")
	for i := 0; ; i++ {
		switch {
		case i < len(parts) && parts[i] == "#":
			return leaf, all || at >= i, true // # also matches the level above it
		case i == len(p.levels) && i == len(parts):
			return leaf, all, true
		case i >= len(p.levels) || i >= len(parts):
			return "", false, i < len(p.levels) && p.levels[i].rest()
		}
		l := &p.levels[i]
		switch {
		case l.rest():
			return leaf, all, true
		case i == at && parts[i] != "+":
			leaf = parts[i]
		case i == at:
			all = true
		case !l.one() && parts[i] != "+" && parts[i] != l.literal:
			return "", false, false
		}
	}
}

// overlaps reports whether a topic can have the form of both.
func (p *pattern) overlaps(q *pattern) bool {
	for i := 0; ; i++ {
		pEnds, qEnds := i == len(p.levels), i == len(q.levels)
		switch {
		case pEnds && qEnds:
			return true
		case !pEnds && p.levels[i].rest(), !qEnds && q.levels[i].rest():
			return true
		case pEnds || qEnds:
			return false
		}
		a, b := &p.levels[i], &q.levels[i]
		if !a.one() && !b.one() && a.literal != b.literal {
			return false
		}
	}
}
