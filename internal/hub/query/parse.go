package query

import (
	"fmt"
	"slices"
	"strings"

	"sluice/iot"
)

// A parser reads a query by recursive descent, and expressions by the binding
// power of their operators. It holds one token at a time.
type parser struct {
	lex   lexer
	tok   token
	depth int // of the expression being read
	names []*attribute
}

// Parse reads a query. The error is an [iot.Error] of kind Invalid whose cause is
// an [*Error] with the place.
func Parse(text string) (*Query, error) {
	p, err := begin(text)
	if err != nil {
		return nil, err
	}
	q, err := p.query()
	if err != nil {
		return nil, err
	}
	return q, nil
}

// ParseCondition reads a condition on twins, as automatic deployments have it.
// A lone * holds for all. The errors are those of Parse.
func ParseCondition(text string) (*Condition, error) {
	p, err := begin(text)
	if err != nil {
		return nil, err
	}
	if p.tok.is("*") {
		if err := p.advance(); err != nil {
			return nil, err
		}
		return &Condition{constant{boolOf(true), "true"}}, p.end()
	}
	where, err := p.expression(0)
	if err != nil {
		return nil, err
	}
	p.resolve(Devices)
	return &Condition{where}, p.end()
}

func begin(text string) (*parser, error) {
	if len(text) > MaxLength {
		return nil, &iot.Error{Kind: iot.Invalid, Op: "query", Detail: fmt.Sprintf("the query is %d bytes long; the limit is %d", len(text), MaxLength)}
	}
	p := &parser{lex: lexer{text: text}}
	return p, p.advance()
}

func (p *parser) advance() (err error) {
	p.tok, err = p.lex.next()
	return err
}

func (p *parser) errorf(format string, args ...any) error {
	return errorAt(p.lex.text, p.tok.offset, format, args...)
}

// accept takes the next token if it is this keyword or mark.
func (p *parser) accept(what string) (bool, error) {
	if !p.tok.is(what) {
		return false, nil
	}
	return true, p.advance()
}

func (p *parser) expect(what string) error {
	ok, err := p.accept(what)
	if err == nil && !ok {
		err = p.errorf("expected %s, not %s", what, p.tok.describe())
	}
	return err
}

func (p *parser) end() error {
	if p.tok.kind == tokenEnd {
		return nil
	}
	return p.errorf("%s is not expected here", p.tok.describe())
}

func (p *parser) query() (*Query, error) {
	q := &Query{top: -1}
	for _, clause := range []func(*Query) error{p.selection, p.from, p.where, p.groupBy, p.rest} {
		if err := clause(q); err != nil {
			return nil, err
		}
	}
	p.resolve(q.from)
	return q, p.checkGroups(q)
}

func (p *parser) selection(q *Query) error {
	if err := p.expect("SELECT"); err != nil {
		return err
	}
	if err := p.top(q); err != nil {
		return err
	}
	if all, err := p.accept("*"); all || err != nil {
		return err
	}
	for {
		c, err := p.column(len(q.columns))
		if err != nil {
			return err
		}
		q.columns = append(q.columns, c)
		if more, err := p.accept(","); !more || err != nil {
			return err
		}
	}
}

func (p *parser) top(q *Query) error {
	if given, err := p.accept("TOP"); !given || err != nil {
		return err
	}
	if n := p.tok.number; p.tok.kind != tokenNumber || n != float64(int(n)) || n > MaxTop {
		return p.errorf("TOP takes a whole number, not %s", p.tok.describe())
	}
	q.top = int(p.tok.number)
	return p.advance()
}

// column reads an element of SELECT. One without a name has that of its
// property; an aggregate that of its place, $1 for the first.
func (p *parser) column(place int) (column, error) {
	var c column
	var err error
	word := p.tok
	if word.kind != tokenWord || isReserved(word.text) {
		return c, p.errorf("expected a property, an aggregate or *, not %s", word.describe())
	}
	if isAggregate(word.text) && strings.HasPrefix(strings.TrimSpace(p.lex.text[p.lex.pos:]), "(") {
		c.aggregate = aggregate(strings.ToUpper(word.text))
		c.name = fmt.Sprintf("$%d", place+1)
		c.attribute, err = p.aggregated(c.aggregate)
	} else if c.attribute, err = p.attribute(); err == nil {
		c.name = c.attribute.path[len(c.attribute.path)-1]
	}
	if err != nil {
		return c, err
	}
	if named, err := p.accept("AS"); !named || err != nil {
		return c, err
	}
	c.name, err = p.alias()
	return c, err
}

// alias reads a plain name or one in brackets.
func (p *parser) alias() (string, error) {
	switch {
	case p.tok.is("[["):
		return p.bracketed()
	case p.tok.kind == tokenWord && !isReserved(p.tok.text):
		name := p.tok.text
		return name, p.advance()
	}
	return "", p.errorf("expected a name after AS, not %s", p.tok.describe())
}

// aggregated reads an aggregate up to its closing parenthesis. COUNT may do
// without a property, and counts rows then.
func (p *parser) aggregated(name aggregate) (*attribute, error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	if err := p.expect("("); err != nil {
		return nil, err
	}
	if name == count {
		if _, err := p.accept("*"); err != nil {
			return nil, err
		}
		if closed, err := p.accept(")"); closed || err != nil {
			return nil, err
		}
	}
	a, err := p.attribute()
	if err != nil {
		return nil, err
	}
	return a, p.expect(")")
}

func (p *parser) from(q *Query) error {
	if err := p.expect("FROM"); err != nil {
		return err
	}
	at := p.tok
	a, err := p.attribute()
	if err != nil {
		return err
	}
	p.names = p.names[:len(p.names)-1] // no property of a row
	name := strings.Join(a.path, ".")
	for _, c := range []Collection{Devices, Modules, Jobs} {
		if strings.EqualFold(name, string(c)) {
			q.from = c
			return nil
		}
	}
	return errorAt(p.lex.text, at.offset, "there is no collection %s; there are %s, %s and %s", shorten(name), Devices, Modules, Jobs)
}

func (p *parser) where(q *Query) error {
	given, err := p.accept("WHERE")
	if given && err == nil {
		q.where, err = p.expression(0)
	}
	return err
}

func (p *parser) groupBy(q *Query) error {
	if given, err := p.accept("GROUP"); !given || err != nil {
		return err
	}
	if err := p.expect("BY"); err != nil {
		return err
	}
	for {
		a, err := p.attribute()
		if err != nil {
			return err
		}
		q.groupBy = append(q.groupBy, a)
		if more, err := p.accept(","); !more || err != nil {
			return err
		}
	}
}

// rest takes the end of the query, and knows what people try after it.
func (p *parser) rest(*Query) error {
	for word, instead := range map[string]string{
		"ORDER": "the service has no ORDER BY: sort what you get",
		"JOIN":  "the service has no JOIN: a query reads one collection",
		"LIMIT": "the service has no LIMIT: write SELECT TOP n",
		"WHERE": "WHERE stands before GROUP BY",
	} {
		if p.tok.is(word) {
			return p.errorf("%s", instead)
		}
	}
	return p.end()
}

// checkGroups holds the selection to what groups have: what they were made by,
// and aggregates.
func (p *parser) checkGroups(q *Query) error {
	if len(q.groupBy) > 0 && q.All() {
		return errorAt(p.lex.text, q.groupBy[0].offset, "a query with GROUP BY selects what it groups by and aggregates, not *")
	}
	for i, c := range q.columns {
		if slices.ContainsFunc(q.columns[:i], func(other column) bool { return other.name == c.name }) {
			return &iot.Error{Kind: iot.Invalid, Op: "query", Detail: fmt.Sprintf("two columns are named %s: tell them apart with AS", shorten(c.name))}
		}
		grouped := c.aggregate != "" || slices.ContainsFunc(q.groupBy, func(a *attribute) bool { return slices.Equal(a.path, c.attribute.path) })
		if q.Aggregates() && !grouped {
			return errorAt(p.lex.text, c.attribute.offset, "%s is neither an aggregate nor in GROUP BY", c.attribute)
		}
	}
	return nil
}

var keywords = []string{"SELECT", "TOP", "FROM", "WHERE", "GROUP", "BY", "AS", "AND", "OR", "NOT", "IN", "NIN", "TRUE", "FALSE", "NULL", "UNDEFINED"}

// isReserved reports whether word cannot begin the name of a property.
func isReserved(word string) bool { return slices.Contains(keywords, strings.ToUpper(word)) }
