package route

import (
	"slices"
	"strings"

	"sluice/internal/spelling"
)

// Route is a parsed and compiled route. It is immutable.
type Route struct {
	text      string
	from      Pattern
	condition *Condition // nil: always true
	into      Endpoint
	doubts    []*Problem
}

// Parse reads and compiles one route:
//
//	[SELECT *] FROM source [WHERE condition] INTO sink
//
// The error joins a [*Problem] for each thing that is wrong; [Problems] takes
// it apart.
func Parse(text string) (r *Route, err error) {
	defer catch(&err)
	p := newParser(text)
	return p.route()
}

// From is the source that the route names.
func (r *Route) From() Pattern { return r.from }

// Into is the endpoint that the route names.
func (r *Route) Into() Endpoint { return r.into }

// Condition is the condition; nil if there is none, which means always.
func (r *Route) Condition() *Condition { return r.condition }

// Text is the route as it was written.
func (r *Route) Text() string { return r.text }

// Doubts are what is allowed in the route and yet probably not what was meant.
func (r *Route) Doubts() []*Problem { return r.doubts }

func (p *parser) route() (*Route, error) {
	if p.tok.kind == tokEnd {
		p.fail(p.tok, "a route is FROM source INTO sink", "the route is empty")
	}
	p.selectAll()
	p.keyword(tokFrom, "FROM")
	r := &Route{text: p.text, from: p.source()}
	problem := p.where(r)
	p.keyword(tokInto, "INTO")
	sink := p.tok
	r.into = p.sink()
	sink.end = p.prev.end
	p.rest()
	r.doubts = append(r.doubts, p.doubts...)
	r.doubts = append(r.doubts, p.loops(r, sink)...)
	slices.SortStableFunc(r.doubts, func(a, b *Problem) int { return a.Start - b.Start })
	if problem != nil {
		return nil, problem
	}
	return r, nil
}

// selectAll reads SELECT *, which may be missing.
func (p *parser) selectAll() {
	if p.tok.kind != tokSelect {
		return
	}
	p.advance()
	if !p.isOp("*") {
		p.fail(p.tok, "a route selects whole messages: SELECT *", "expected '*' after SELECT, found %s", p.describe(p.tok))
	}
	p.advance()
}

func (p *parser) keyword(k kind, word string) {
	if p.tok.kind == k {
		p.advance()
		return
	}
	hint := p.betweenHint(p.tok)
	if p.tok.kind == tokID {
		if near := spelling.Nearest(strings.ToUpper(p.word(p.tok)), []string{word, "WHERE"}, nil); near != "" && hint == "" {
			hint = "did you mean " + near + "?"
		}
	}
	if p.tok.kind == tokUnknown {
		p.fail(p.tok, p.symbolHint(p.tok), "invalid symbol %s", p.describe(p.tok))
	}
	if p.tok.kind == tokEnd && hint == "" {
		hint = p.commentHint(word)
	}
	p.fail(p.tok, hint, "expected %s, found %s", word, p.describe(p.tok))
}

// commentHint explains a keyword that is missing because a comment holds it.
func (p *parser) commentHint(word string) string {
	if strings.Contains(strings.ToUpper(p.text), word) && strings.Contains(p.text, "*/") {
		return "the text from /* to */ is a comment; a source that ends in /* begins one if */ follows anywhere"
	}
	return ""
}

// source reads a path: slashes, each followed by a name or a star.
func (p *parser) source() Pattern {
	start := p.tok
	if !p.isOp("/") {
		p.fail(p.tok, p.sourceHint(), "a source begins with '/', found %s", p.describe(p.tok))
	}
	var path strings.Builder
	for p.isOp("/") {
		p.advance()
		if p.tok.kind != tokID && !p.isOp("*") {
			p.fail(p.tok, p.stepHint(), "%s is no step of a source", p.describe(p.tok))
		}
		path.WriteByte('/')
		path.WriteString(p.word(p.advance()))
	}
	p.suspectSource(path.String(), token{pos: start.pos, end: p.prev.end})
	return newPattern(path.String())
}

func (p *parser) sourceHint() string {
	if p.tok.kind == tokID {
		return "as in /" + p.word(p.tok) + "/*"
	}
	if p.tok.kind == tokEnd {
		return p.commentHint("INTO")
	}
	return "as in FROM /messages/*"
}

func (p *parser) stepHint() string {
	switch p.tok.kind {
	case tokSystem:
		return "modules whose names begin with $ cannot be named; use /messages/* and compare $connectionModuleId"
	case tokOp:
		if p.tok.op == "/" {
			return "one slash is enough"
		}
	case tokInto, tokWhere, tokEnd:
		return "a source ends without a slash, or in /*"
	case tokInteger, tokReal, tokHex, tokTrue, tokFalse, tokNull, tokUndefined, tokFrom, tokSelect:
		return "numbers and reserved words are no steps; use a shorter source and compare $connectionModuleId or $outputName"
	}
	return ""
}

// where reads the condition, if there is one. Its type errors are returned, so
// that the rest of the route is looked at too.
func (p *parser) where(r *Route) error {
	if p.tok.kind != tokWhere {
		return nil
	}
	p.advance()
	root := p.expression(1)
	cond, err := compile(&parser{lexer: p.lexer}, root, r.from)
	if err != nil {
		return err
	}
	r.condition = cond
	r.doubts = append(r.doubts, cond.doubts...)
	return nil
}

// sink reads where messages go.
func (p *parser) sink() Endpoint {
	t := p.tok
	switch {
	case t.kind == tokSystem:
		p.advance()
		if !strings.EqualFold(p.word(t), "$upstream") {
			p.fail(t, "the hub above is $upstream", "there is no sink %s", p.describe(t))
		}
		return Upstream
	case t.kind == tokID:
		return p.brokered(p.advance())
	}
	p.fail(t, sinks, "expected a sink, found %s", p.describe(t))
	return Endpoint{}
}

const sinks = `sinks are $upstream and BrokeredEndpoint("/modules/…/inputs/…")`

// brokered reads BrokeredEndpoint("/modules/m/inputs/i").
func (p *parser) brokered(name token) Endpoint {
	if !strings.EqualFold(p.word(name), "BrokeredEndpoint") {
		hint := sinks
		if strings.EqualFold(p.word(name), "upstream") {
			hint = "write $upstream"
		}
		p.fail(name, hint, "there is no sink %s", p.describe(name))
	}
	if !p.isOp("(") {
		p.fail(p.tok, `as in BrokeredEndpoint("/modules/m/inputs/i")`, "expected '(', found %s", p.describe(p.tok))
	}
	open := p.advance()
	t := p.tok
	if t.kind != tokString {
		p.fail(t, `as in BrokeredEndpoint("/modules/m/inputs/i")`, "expected an address in quotes, found %s", p.describe(t))
	}
	p.advance()
	word := p.word(t)
	e, err := parseAddress(word[1 : len(word)-1])
	if err != nil {
		p.fail(t, `as in "/modules/m/inputs/i"`, "%v", err)
	}
	if !p.isOp(")") {
		p.fail(open, "", "missing ')' for this '(': found %s instead", p.describe(p.tok))
	}
	p.advance()
	p.suspectAddress(word[1:len(word)-1], t)
	return e
}

// rest doubts what stands behind the sink. It is ignored, as in edgeHub.
func (p *parser) rest() {
	if p.tok.kind == tokEnd {
		return
	}
	t := token{pos: p.tok.pos, end: len(strings.TrimRight(p.text, " \t\r\n"))}
	p.doubt(t, "one route has one sink; write another route for another", "%q stands behind a complete route, and is ignored", shorten(p.word(t)))
}
