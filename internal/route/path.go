package route

import (
	"fmt"
	"strconv"
	"strings"
)

// step is one step into a JSON document: a member, any member, or an element.
type step struct {
	name  string // "" for an element
	index int
}

const anyMember = "*"

// parsePath reads a body path: a.b[0].c. The error says what is wrong at which
// byte.
func parsePath(text string) ([]step, int, error) {
	var steps []step
	at := 0
	for part := range strings.SplitSeq(text, ".") {
		name, rest, indexed := strings.Cut(part, "[")
		switch {
		case name == "":
			return nil, at, fmt.Errorf("a step of the body path has no name")
		case digits(name, isDigit) == len(name):
			return nil, at, fmt.Errorf("%q is no name of a member; elements are written in brackets, as in list[0]", name)
		case strings.ContainsRune(name, ']'):
			return nil, at, fmt.Errorf("%q has a ']' without a '['", name)
		}
		steps = append(steps, step{name: name})
		if indexed {
			indices, err := parseIndices("[" + rest)
			if err != nil {
				return nil, at + len(name), err
			}
			steps = append(steps, indices...)
		}
		at += len(part) + 1
	}
	return steps, 0, nil
}

// parseIndices reads [0] or [0][1].
func parseIndices(s string) ([]step, error) {
	var steps []step
	for s != "" {
		end := strings.IndexByte(s, ']')
		if s[0] != '[' || end < 0 {
			return nil, fmt.Errorf("%q is not a number in brackets", s)
		}
		n, err := strconv.ParseInt(s[1:end], 10, 32)
		if err != nil || digits(s[1:end], isDigit) != end-1 {
			return nil, fmt.Errorf("%q is not a number in brackets; members are written behind a dot", s[:end+1])
		}
		steps = append(steps, step{index: int(n)})
		s = s[end+1:]
	}
	return steps, nil
}

// plan is the set of body paths that the conditions of a table ask for, as a
// tree, so that one pass over a body finds them all.
type plan struct {
	root *branch
	size int // slots
}

// branch is the place in a document that the steps to it lead to.
type branch struct {
	slot     int // -1 if nobody asks for this place
	members  map[string]*branch
	elements map[int]*branch
	any      *branch // every member
	many     bool    // more than one place of a document can be here
}

func newPlan() *plan { return &plan{root: newBranch(false)} }

func newBranch(many bool) *branch { return &branch{slot: -1, many: many} }

// add gives the slot of a path, a new one if it was not asked for before.
func (p *plan) add(steps []step) int {
	b := p.root
	for _, s := range steps {
		b = b.child(s)
	}
	if b.slot < 0 {
		b.slot = p.size
		p.size++
	}
	return b.slot
}

func (b *branch) child(s step) *branch {
	switch {
	case s.name == anyMember:
		if b.any == nil {
			b.any = newBranch(true)
		}
		return b.any
	case s.name != "":
		if b.members == nil {
			b.members = map[string]*branch{}
		}
		if b.members[s.name] == nil {
			b.members[s.name] = newBranch(b.many)
		}
		return b.members[s.name]
	}
	if b.elements == nil {
		b.elements = map[int]*branch{}
	}
	if b.elements[s.index] == nil {
		b.elements[s.index] = newBranch(b.many)
	}
	return b.elements[s.index]
}
