package query

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"sluice/iot"
)

// An aggregate makes one value of those of many rows.
type aggregate string

const (
	count aggregate = "COUNT"
	sum   aggregate = "SUM"
	avg   aggregate = "AVG"
	least aggregate = "MIN"
	most  aggregate = "MAX"
)

func isAggregate(word string) bool {
	return slices.Contains([]aggregate{count, sum, avg, least, most}, aggregate(strings.ToUpper(word)))
}

// Groups gathers the rows of one run of a query with aggregates. It is for one
// goroutine.
type Groups struct {
	query *Query
	byKey map[string]*group
	key   []byte // reused
}

// A group is one result: what its rows have in common, and one tally for each
// column.
type group struct {
	values  []value // of GROUP BY
	tallies []tally
}

// Group begins a run of a query that [Query.Aggregates].
func (q *Query) Group() *Groups {
	g := &Groups{query: q, byKey: map[string]*group{}}
	if len(q.groupBy) == 0 {
		g.byKey[""] = &group{tallies: make([]tally, len(q.columns))}
	}
	return g
}

// Add takes in a row that matches. The error is TooLarge when there would be more
// than [MaxGroups] groups.
func (g *Groups) Add(row Row) error {
	values := make([]value, len(g.query.groupBy))
	g.key = g.key[:0]
	for i, a := range g.query.groupBy {
		values[i] = a.eval(row)
		g.key = append(values[i].appendKey(g.key), 0) // JSON has no zero byte
	}
	in, ok := g.byKey[string(g.key)]
	if !ok {
		if len(g.byKey) == MaxGroups {
			return iot.Errorf(iot.TooLarge, "query", iot.Identity{}, "GROUP BY makes more than %d groups; add a WHERE", MaxGroups)
		}
		in = &group{values, make([]tally, len(g.query.columns))}
		g.byKey[string(g.key)] = in
	}
	for i, c := range g.query.columns {
		in.tallies[i].add(c, row)
	}
	return nil
}

// Results is one JSON object for each group, in an order that depends on the
// groups alone. Without GROUP BY it is one, even of no rows.
func (g *Groups) Results() []json.RawMessage {
	results := make([]json.RawMessage, 0, len(g.byKey))
	for _, key := range slices.Sorted(maps.Keys(g.byKey)) {
		if g.query.top >= 0 && len(results) == g.query.top {
			break
		}
		results = append(results, g.query.appendGroup(nil, g.byKey[key]))
	}
	return results
}

func (q *Query) appendGroup(b []byte, of *group) []byte {
	b = append(b, '{')
	for i, c := range q.columns {
		v := of.tallies[i].result(c)
		if c.aggregate == "" {
			v = of.values[slices.IndexFunc(q.groupBy, func(a *attribute) bool { return slices.Equal(a.path, c.attribute.path) })]
		}
		b = appendMember(b, c.name, v)
	}
	return closeObject(b)
}

// A tally is an aggregate as far as it has come.
type tally struct {
	rows    int // that counted
	sum     float64
	extreme value
}

// add counts a row in, if it has a value that the aggregate is about: any for
// COUNT, MIN and MAX, a number for SUM and AVG.
func (t *tally) add(c column, row Row) {
	if c.attribute == nil {
		t.rows++
		return
	}
	v := c.attribute.eval(row)
	if v.kind == undefined || (c.aggregate == sum || c.aggregate == avg) && v.kind != number {
		return
	}
	t.rows++
	t.sum += v.num
	if t.rows == 1 || c.aggregate == least && before(v, t.extreme) || c.aggregate == most && before(t.extreme, v) {
		t.extreme = v
	}
}

// before orders values of different kinds by their kinds, so that MIN and MAX
// are the same in whatever order the rows come.
func before(a, b value) bool {
	if a.kind != b.kind {
		return a.kind < b.kind
	}
	order, _ := compare(a, b)
	return order < 0
}

// result is undefined for an average, least or most of nothing.
func (t tally) result(c column) value {
	switch c.aggregate {
	case count:
		return numberOf(float64(t.rows))
	case sum:
		return numberOf(t.sum)
	case avg:
		return numberOf(t.sum / float64(t.rows))
	}
	return t.extreme
}
