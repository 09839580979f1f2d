package query

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"sluice/internal/twin"
)

// Row is what a query asks: a twin (a [twin.View] is one), or a job.
type Row interface {
	// Lookup finds the value at a path of names, and of numbers for the items
	// of arrays. False is undefined.
	Lookup(path []string) (twin.Value, bool)
	// JSON is the whole row, for SELECT *.
	JSON() (json.RawMessage, error)
}

// Collection is what a query reads.
type Collection string

// The collections of a hub.
const (
	Devices Collection = "devices"
	Modules Collection = "devices.modules"
	Jobs    Collection = "devices.jobs"
)

// A Query is a parsed query. It does not change and may be used from any
// goroutine.
type Query struct {
	from    Collection
	top     int // rows asked for, -1 for all
	columns []column
	where   expr // nil for all rows
	groupBy []*attribute
}

// A column is one element of SELECT. A query with none is SELECT *.
type column struct {
	name      string     // of the member in the result
	attribute *attribute // what is shown, or aggregated; nil for COUNT()
	aggregate aggregate  // "" for none
}

// From is what the query reads.
func (q *Query) From() Collection { return q.from }

// Top is how many results the query wants at most; ok is false if it wants all.
func (q *Query) Top() (n int, ok bool) { return max(q.top, 0), q.top >= 0 }

// All reports whether the results are whole rows: SELECT *. The service calls
// those twins or jobs by name, and all other results raw.
func (q *Query) All() bool { return len(q.columns) == 0 }

// Aggregates reports whether the results are made of many rows each, by the
// [Groups] of Group.
func (q *Query) Aggregates() bool {
	return len(q.groupBy) > 0 || slices.ContainsFunc(q.columns, func(c column) bool { return c.aggregate != "" })
}

// Match reports whether the condition of the query holds for row.
func (q *Query) Match(row Row) bool { return q.where == nil || q.where.eval(row).isTrue() }

// AppendResult appends what a query without aggregates shows of a row: the row
// itself, or an object of what was selected, without members for what is
// undefined. The error is that of row.JSON.
func (q *Query) AppendResult(b []byte, row Row) ([]byte, error) {
	if q.All() {
		all, err := row.JSON()
		return append(b, all...), err
	}
	b = append(b, '{')
	for _, c := range q.columns {
		b = appendMember(b, c.name, c.attribute.eval(row))
	}
	return closeObject(b), nil
}

// appendMember appends a member and a comma, if v is defined.
func appendMember(b []byte, name string, v value) []byte {
	if v.kind == undefined {
		return b
	}
	b = twin.StringValue(name).AppendJSON(b)
	b = append(b, ':')
	return append(v.appendJSON(b), ',')
}

// closeObject puts the brace in the place of the last comma.
func closeObject(b []byte) []byte {
	if b[len(b)-1] == ',' {
		b = b[:len(b)-1]
	}
	return append(b, '}')
}

// DeviceIDs are the only devices that can match, if the condition says so as
// plainly as deviceId = 'a' AND …, or deviceId IN ['a', 'b']. A hub can look
// these up instead of walking all rows. They are sorted, each once.
func (q *Query) DeviceIDs() (ids []string, ok bool) {
	conjuncts := []expr{q.where}
	if and, isAnd := q.where.(logical); isAnd && and.operator == "AND" {
		conjuncts = and.operands
	}
	for _, c := range conjuncts {
		if ids, ok := namedDevices(c); ok {
			slices.Sort(ids)
			return slices.Compact(ids), true
		}
	}
	return nil, false
}

func namedDevices(condition expr) ([]string, bool) {
	switch c := condition.(type) {
	case binary:
		if c.operator == "=" && isDeviceID(c.left) {
			return texts([]expr{c.right})
		}
		if c.operator == "=" && isDeviceID(c.right) {
			return texts([]expr{c.left})
		}
	case membership:
		if c.operator == "IN" && isDeviceID(c.operand) {
			return texts(c.list)
		}
	}
	return nil, false
}

func isDeviceID(e expr) bool {
	a, ok := e.(*attribute)
	return ok && len(a.path) == 1 && a.path[0] == "deviceId"
}

// texts are the strings that all of list are, if they are constants.
func texts(list []expr) ([]string, bool) {
	var all []string
	for _, e := range list {
		c, ok := e.(constant)
		if !ok || c.value.kind != text {
			return nil, false
		}
		all = append(all, c.value.str)
	}
	return all, true
}

// String is the query in canonical form: what it means, with every default and
// parenthesis written out.
func (q *Query) String() string {
	var b strings.Builder
	b.WriteString("SELECT ")
	if q.top >= 0 {
		b.WriteString("TOP " + strconv.Itoa(q.top) + " ")
	}
	if q.All() {
		b.WriteString("*")
	}
	for i, c := range q.columns {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(c.String())
	}
	b.WriteString(" FROM " + string(q.from))
	if q.where != nil {
		b.WriteString(" WHERE " + q.where.String())
	}
	for i, a := range q.groupBy {
		b.WriteString([]string{" GROUP BY ", ", "}[min(i, 1)] + a.String())
	}
	return b.String()
}

func (c column) String() string {
	shown := "*"
	if c.attribute != nil {
		shown = c.attribute.String()
	}
	if c.aggregate != "" {
		shown = string(c.aggregate) + "(" + shown + ")"
	}
	if c.aggregate == "" && c.name == c.attribute.path[len(c.attribute.path)-1] {
		return shown
	}
	return shown + " AS [[" + c.name + "]]"
}

// A Condition is what stands after WHERE, by itself: the target condition of an
// automatic deployment. It does not change and may be used from any goroutine.
type Condition struct{ where expr }

// Match reports whether the condition holds for row.
func (c *Condition) Match(row Row) bool { return c.where.eval(row).isTrue() }

// String is the condition in canonical form.
func (c *Condition) String() string { return c.where.String() }
