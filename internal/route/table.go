package route

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"sluice/iot"
)

// DefaultPriority is the priority of a route that names none. It comes after
// all that can be named.
const DefaultPriority = 2_000_000_000

// MaxPriority is the greatest priority, and so the last, that a route can name.
const MaxPriority = 9

// Rule is a named route with what the configuration says about it.
type Rule struct {
	Name     string
	Route    *Route
	Priority int           // 0 to MaxPriority, 0 first, or DefaultPriority
	TTL      time.Duration // how long its messages may wait; 0: as long as the gateway says
}

// Target is where a message goes, and how.
type Target struct {
	Endpoint Endpoint
	Priority int
	TTL      time.Duration // 0: as long as the gateway says
	Route    string        // name of the route that decided
}

// Table finds the routes of a message. It is immutable: to change routes, build
// another and exchange the pointer.
type Table struct {
	rules     []Rule // by priority, then name
	entries   []entry
	endpoints []Endpoint
	root      *site
	paths     *plan
}

// entry is a rule made ready.
type entry struct {
	target    Target
	endpoint  int        // index in the table's endpoints
	condition *Condition // nil: always true
	slots     []int
}

// NewTable makes a table. An error says which rule has a wrong priority or time
// to live, or that two have the same name.
func NewTable(rules ...Rule) (*Table, error) {
	t := &Table{rules: slices.Clone(rules), root: &site{}, paths: newPlan()}
	slices.SortStableFunc(t.rules, func(a, b Rule) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Name, b.Name))
	})
	names := map[string]bool{}
	for _, r := range t.rules {
		if err := r.check(); err != nil {
			return nil, fmt.Errorf("route %q: %w", r.Name, err)
		}
		if names[r.Name] {
			return nil, fmt.Errorf("route %q: there are two of this name", r.Name)
		}
		names[r.Name] = true
		t.add(r)
	}
	t.root.index(t.entries)
	return t, nil
}

func (r Rule) check() error {
	if r.Route == nil {
		return fmt.Errorf("it has no route")
	}
	if r.Priority != DefaultPriority && (r.Priority < 0 || r.Priority > MaxPriority) {
		return fmt.Errorf("the priority %d is not within 0 and %d", r.Priority, MaxPriority)
	}
	if r.TTL < 0 {
		return fmt.Errorf("the time to live %v is negative", r.TTL)
	}
	return nil
}

func (t *Table) add(r Rule) {
	e := entry{
		target:    Target{Endpoint: r.Route.into, Priority: r.Priority, TTL: r.TTL, Route: r.Name},
		condition: r.Route.condition,
	}
	if e.condition != nil {
		e.slots = t.paths.addAll(e.condition.paths)
	}
	if e.endpoint = slices.Index(t.endpoints, e.target.Endpoint); e.endpoint < 0 {
		e.endpoint = len(t.endpoints)
		t.endpoints = append(t.endpoints, e.target.Endpoint)
	}
	t.entries = append(t.entries, e)
	t.root.at(r.Route.from.segments()).add(len(t.entries) - 1)
}

// Rules are the rules by priority, then by name.
func (t *Table) Rules() []Rule { return slices.Clone(t.rules) }

// Endpoints are all endpoints that a route leads to, each once.
func (t *Table) Endpoints() []Endpoint { return slices.Clone(t.endpoints) }

// Match says where a message of the given source goes: each endpoint at most
// once, with the priority and the time to live of the most urgent route, and of
// equally urgent ones the first by name. Nil means nowhere.
func (t *Table) Match(msg *iot.Message, src Source) []Target {
	return t.AppendMatch(nil, msg, src)
}

// AppendMatch is Match for a caller that has a slice to append to. It allocates
// nothing but what functions and bodies in conditions need.
func (t *Table) AppendMatch(dst []Target, msg *iot.Message, src Source) []Target {
	m := match{table: t, msg: msg, targets: dst, base: len(dst)}
	t.root.walk(&m, src)
	if m.frame != nil {
		m.frame.release()
	}
	return m.targets
}

// match is one search of a table.
type match struct {
	table   *Table
	msg     *iot.Message
	frame   *frame // nil until it is needed
	targets []Target
	base    int // where the targets of this search begin
}

// try adds entry i if its condition is true and it is not outdone already.
func (m *match) try(i int) {
	e := &m.table.entries[i]
	at := m.find(e)
	if at >= 0 && !before(e.target, m.targets[at]) {
		return
	}
	if e.condition != nil && m.view().eval(e.condition, e.slots) != True {
		return
	}
	if at >= 0 {
		m.targets[at] = e.target
		return
	}
	if m.many() {
		m.view().take(e.endpoint, len(m.targets)+1)
	}
	m.targets = append(m.targets, e.target)
}

// many reports whether the table has so many endpoints that looking through the
// targets for one takes longer than remembering where each is.
func (m *match) many() bool { return len(m.table.endpoints) > 16 }

// find is the index in targets of the entry's endpoint, or -1.
func (m *match) find(e *entry) int {
	if m.many() {
		return m.view().seats[e.endpoint] - 1
	}
	for i := m.base; i < len(m.targets); i++ {
		if m.targets[i].Endpoint == e.target.Endpoint {
			return i
		}
	}
	return -1
}

// view is the frame of the message, made when it is first needed.
func (m *match) view() *frame {
	if m.frame == nil {
		m.frame = newFrame(m.msg, m.table.paths)
		if m.many() {
			m.frame.seat(len(m.table.endpoints))
		}
	}
	return m.frame
}

// before reports whether a outdoes b at the same endpoint.
func before(a, b Target) bool {
	if a.Priority != b.Priority {
		return a.Priority < b.Priority
	}
	return a.Route < b.Route
}
