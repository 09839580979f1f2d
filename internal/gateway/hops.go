package gateway

import (
	"slices"
	"strconv"
	"strings"

	"sluice/iot"
)

// DefaultMaxHops is how many modules may pass a message on, one after the other,
// before it is taken for one that goes round in a loop.
const DefaultMaxHops = 16

// hopsProperty is the application property in which a module is told how many
// modules a message has passed already. A module that passes on what it got, with
// its properties as the SDKs' samples do, says it again, and so tells a loop from
// a message of its own. It is on messages between modules only: a device's first
// step has none, and nothing of it reaches the hub.
const hopsProperty = "sluice-hops"

// hop notes in a message how many modules it has passed with its sender, and
// reports whether it may pass on.
func (s *session) hop(m *iot.Message) bool {
	told := takeHops(m)
	if !s.Identity().IsModule() {
		m.System.Set(iot.Hops, "")
		return true
	}
	hops := told + 1
	m.System.Set(iot.Hops, strconv.Itoa(hops))
	return hops <= s.g.opt.MaxHops
}

// takeHops takes the property out of a message and reads it. What is no number of
// hops counts as none.
func takeHops(m *iot.Message) int {
	at := slices.IndexFunc(m.Properties, func(p iot.Property) bool {
		return len(p.Key) == len(hopsProperty) && strings.EqualFold(p.Key, hopsProperty)
	})
	if at < 0 {
		return 0
	}
	n, err := strconv.ParseUint(m.Properties[at].Value, 10, 16)
	m.Properties = slices.Delete(m.Properties, at, at+1)
	if err != nil {
		return 0
	}
	return int(n)
}

// tellHops tells a module how many modules a message has passed.
func tellHops(m *iot.Message) {
	if n := m.System.Get(iot.Hops); n != "" {
		m.Properties.Set(hopsProperty, n)
	}
}

// looped says, once in a session, that messages go round.
func (s *session) looped(m *iot.Message) {
	s.loops.Do(func() {
		s.g.log.Error("a message goes round in a loop of modules and is dropped, as are others like it",
			"identity", s.Identity(), "output", m.System.Get(iot.OutputName), "modules", s.g.opt.MaxHops)
	})
}
