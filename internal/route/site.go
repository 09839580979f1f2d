package route

import "strings"

// site is a step of the tree of sources. The routes that a message can take are
// at the sites on its way from the root, and nowhere else.
type site struct {
	below   map[string]*site // by step, in lower case
	entries []int            // to try one by one
	chosen  []choice         // the others
}

// at finds the site of a path, and makes it if need be.
func (s *site) at(path []string) *site {
	for _, step := range path {
		step = strings.ToLower(step)
		if s.below == nil {
			s.below = map[string]*site{}
		}
		if s.below[step] == nil {
			s.below[step] = &site{}
		}
		s = s.below[step]
	}
	return s
}

func (s *site) add(i int) { s.entries = append(s.entries, i) }

// walk tries all entries on the way that a source leads.
func (s *site) walk(m *match, src Source) {
	s.try(m)
	var room [5]string
	for _, step := range src.segments(room[:0]) {
		if s = s.step(step); s == nil {
			return
		}
		s.try(m)
	}
}

func (s *site) try(m *match) {
	for _, i := range s.entries {
		m.try(i)
	}
	for i := range s.chosen {
		s.chosen[i].try(m)
	}
}

// step goes one step down without regard to case. It allocates nothing for ids,
// which are short and of ASCII letters.
func (s *site) step(name string) *site {
	if len(s.below) == 0 {
		return nil
	}
	var room [128]byte
	if len(name) > len(room) {
		return s.below[strings.ToLower(name)]
	}
	for i := range len(name) {
		c := name[i]
		if c >= 0x80 {
			return s.below[strings.ToLower(name)]
		}
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		room[i] = c
	}
	return s.below[string(room[:len(name)])]
}
