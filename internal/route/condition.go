package route

import (
	"sync"

	"sluice/iot"
)

// Condition is a compiled condition. It is immutable.
type Condition struct {
	text   string
	root   *expr
	paths  [][]step // body paths, by slot
	doubts []*Problem
	alone  func() (*plan, []int) // for evaluation outside of a table
}

// ParseCondition reads and compiles a condition by itself, for messages of the
// sources that from means; the zero Pattern will do unless the condition uses
// twin_change_includes. A blank condition is undefined. The error joins a
// [*Problem] for each thing that is wrong.
//
// As edgeHub does, it passes over what stands behind a complete expression;
// [Condition.Doubts] tells.
func ParseCondition(text string, from Pattern) (c *Condition, err error) {
	defer catch(&err)
	p := newParser(text)
	root := p.conditionText()
	return compile(p, root, from)
}

// compile checks a parsed condition. text is what Condition.Text returns.
func compile(p *parser, root *expr, from Pattern) (*Condition, error) {
	if root == nil {
		root = &expr{op: opLiteral}
	}
	c := &checker{parser: *p, from: from}
	c.check(root)
	if err := join(c.problems); err != nil {
		return nil, err
	}
	cond := &Condition{text: p.text[root.pos:root.end], root: root, paths: c.paths}
	cond.doubts = append(p.doubts, c.suspect(root)...)
	cond.alone = sync.OnceValues(cond.plan)
	return cond, nil
}

// plan makes a plan for this condition alone.
func (c *Condition) plan() (*plan, []int) {
	p := newPlan()
	return p, p.addAll(c.paths)
}

// addAll adds paths and returns their slots.
func (p *plan) addAll(paths [][]step) []int {
	slots := make([]int, len(paths))
	for i, path := range paths {
		slots[i] = p.add(path)
	}
	return slots
}

// Text is the condition as it was written, from its first to its last token.
func (c *Condition) Text() string { return c.text }

// Doubts are what is allowed and yet probably not what was meant.
func (c *Condition) Doubts() []*Problem { return c.doubts }

// Eval evaluates the condition for one message.
func (c *Condition) Eval(msg *iot.Message) Result {
	p, slots := c.alone()
	f := newFrame(msg, p)
	defer f.release()
	return f.eval(c, slots)
}

// EvalSample evaluates the condition for a sample.
func (c *Condition) EvalSample(s *Sample) Result {
	p, slots := c.alone()
	f := newFrame(nil, p)
	f.sample = s
	defer f.release()
	return f.eval(c, slots)
}
