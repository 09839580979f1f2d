package query

import "strings"

// How strongly operators bind.
const (
	powerOr = iota + 1
	powerAnd
	powerNot
	powerComparison
	powerSum
	powerProduct
	powerMinus
)

// expression reads an expression whose operators bind more strongly than weakest.
func (p *parser) expression(weakest int) (expr, error) {
	if p.depth == MaxDepth {
		return nil, p.errorf("the query is nested more than %d deep", MaxDepth)
	}
	p.depth++
	defer func() { p.depth-- }()
	left, err := p.operand()
	for err == nil {
		power := p.power()
		if power <= weakest {
			break
		}
		left, err = p.operation(left, power)
	}
	return left, err
}

// power is how strongly the token binds as an operator between two values; 0 if
// it is none.
func (p *parser) power() int {
	switch {
	case p.tok.is("OR"):
		return powerOr
	case p.tok.is("AND"):
		return powerAnd
	case p.tok.is("IN"), p.tok.is("NIN"), p.tok.is("NOT"):
		return powerComparison
	case p.tok.kind == tokenMark:
		return operators[p.tok.text].power
	}
	return 0
}

// operation reads an operator and what stands to the right of it.
func (p *parser) operation(left expr, power int) (expr, error) {
	operator := strings.ToUpper(p.tok.text)
	if err := p.advance(); err != nil {
		return nil, err
	}
	switch operator {
	case "IN", "NIN":
		list, err := p.list()
		return membership{operator, left, list}, err
	case "NOT":
		if err := p.expect("IN"); err != nil {
			return nil, err
		}
		list, err := p.list()
		return membership{"NIN", left, list}, err
	}
	right, err := p.expression(power)
	if err != nil {
		return nil, err
	}
	if power <= powerAnd {
		return alsoLogical(operator, left, right), nil
	}
	return binary{operator, operators[operator].apply, left, right}, nil
}

// alsoLogical makes one expression of a chain of the same operator.
func alsoLogical(operator string, left, right expr) expr {
	if chain, ok := left.(logical); ok && chain.operator == operator {
		chain.operands = append(chain.operands, right)
		return chain
	}
	return logical{operator, operator == "OR", []expr{left, right}}
}

// list reads the constants of IN.
func (p *parser) list() ([]expr, error) {
	if !p.tok.is("[") {
		return nil, p.errorf("expected a list in square brackets, ['a', 'b'], not %s", p.tok.describe())
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	return p.expressions("]")
}

// expressions reads expressions and commas up to the closing mark.
func (p *parser) expressions(closing string) ([]expr, error) {
	var list []expr
	if closed, err := p.accept(closing); closed || err != nil {
		return nil, err
	}
	for {
		e, err := p.expression(0)
		if err != nil {
			return nil, err
		}
		list = append(list, e)
		if closed, err := p.accept(closing); closed || err != nil {
			return list, err
		}
		if !p.tok.is(",") {
			return nil, p.errorf("expected , or %s, not %s", closing, p.tok.describe())
		}
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
}

// operand reads what stands between operators.
func (p *parser) operand() (expr, error) {
	switch {
	case p.tok.is("("):
		return p.parenthesis()
	case p.tok.is("NOT"):
		return p.unary("NOT", powerNot)
	case p.tok.is("-"):
		return p.unary("-", powerMinus)
	case p.tok.kind == tokenNumber:
		return p.constant(value{kind: number, num: p.tok.number}, p.tok.text)
	case p.tok.kind == tokenString:
		return p.constant(textOf(p.tok.text), quote(p.tok.text))
	case p.tok.is("TRUE"), p.tok.is("FALSE"):
		return p.constant(boolOf(p.tok.is("TRUE")), strings.ToLower(p.tok.text))
	case p.tok.is("NULL"):
		return p.constant(value{kind: null}, "null")
	case p.tok.is("UNDEFINED"):
		return p.constant(value{}, "undefined")
	case p.tok.kind == tokenWord && !isReserved(p.tok.text):
		return p.named()
	}
	return nil, p.errorf("expected a value, a property or a function, not %s", p.tok.describe())
}

func (p *parser) constant(v value, text string) (expr, error) {
	return constant{v, text}, p.advance()
}

func (p *parser) parenthesis() (expr, error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	e, err := p.expression(0)
	if err != nil {
		return nil, err
	}
	return e, p.expect(")")
}

func (p *parser) unary(operator string, power int) (expr, error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	operand, err := p.expression(power)
	return unary{operator, operand}, err
}

// named reads a function with its arguments, or a property.
func (p *parser) named() (expr, error) {
	name := p.tok
	a, err := p.attribute()
	if err != nil {
		return nil, err
	}
	if !p.tok.is("(") || len(a.path) > 1 {
		return a, nil
	}
	p.names = p.names[:len(p.names)-1] // no property after all
	return p.call(name)
}

func (p *parser) call(name token) (expr, error) {
	f, ok := functionNamed(name.text)
	if !ok {
		return nil, errorAt(p.lex.text, name.offset, "%s", unknownFunction(name.text))
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	args, err := p.expressions(")")
	if err != nil {
		return nil, err
	}
	if len(args) < f.min || len(args) > f.max {
		return nil, errorAt(p.lex.text, name.offset, "%s takes %s, not %d", f.name, arguments(f), len(args))
	}
	return call{f, args}, nil
}

// attribute reads a property: names after dots or in brackets.
func (p *parser) attribute() (*attribute, error) {
	if p.tok.kind != tokenWord || isReserved(p.tok.text) {
		return nil, p.errorf("expected a property, not %s", p.tok.describe())
	}
	a := &attribute{path: []string{p.tok.text}, offset: p.tok.offset}
	p.names = append(p.names, a)
	if err := p.advance(); err != nil {
		return nil, err
	}
	for p.tok.is(".") || p.tok.is("[") || p.tok.is("[[") {
		step, err := p.step()
		if err != nil {
			return nil, err
		}
		a.path = append(a.path, step)
	}
	return a, nil
}

// step reads .name, .[[name]], [[name]], ['name'] or [0].
func (p *parser) step() (string, error) {
	if dot, err := p.accept("."); err != nil {
		return "", err
	} else if dot && p.tok.kind == tokenWord {
		name := p.tok.text
		return name, p.advance()
	}
	switch {
	case p.tok.is("[["):
		return p.bracketed()
	case p.tok.is("["):
		return p.indexed()
	}
	return "", p.errorf("expected a name after the dot, not %s; names that are no plain words are written [[so]]", p.tok.describe())
}

// bracketed reads the name up to ]] as it stands.
func (p *parser) bracketed() (string, error) {
	rest := p.lex.text[p.lex.pos:]
	name, _, closed := strings.Cut(rest, "]]")
	switch {
	case !closed:
		return "", p.errorf("[[ is not closed by ]]")
	case strings.TrimSpace(name) == "":
		return "", p.errorf("there is no name in [[ ]]")
	case !isText(name):
		return "", p.errorf("the name in [[ ]] is not UTF-8")
	}
	p.lex.pos += len(name) + len("]]")
	return name, p.advance()
}

func (p *parser) indexed() (string, error) {
	if err := p.advance(); err != nil {
		return "", err
	}
	at := p.tok
	if at.kind != tokenString && (at.kind != tokenNumber || strings.Trim(at.text, "0123456789") != "") {
		return "", p.errorf("expected the number of an item or a name in quotes, not %s", at.describe())
	}
	if err := p.advance(); err != nil {
		return "", err
	}
	return at.text, p.expect("]")
}
