package route

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Problem is something wrong, or doubtful, in the text of a route. As an error
// it is what [Parse] and [ParseCondition] return, joined if there are several.
type Problem struct {
	Text       string // the whole text it was found in
	Start, End int    // bytes of Text: [Start, End)
	Message    string // what is wrong, in lower case and without a full stop
	Hint       string // what was probably meant, or ""
}

// Error is "line:column: message (hint)". Lines and columns count from 1, and
// columns count characters.
func (p *Problem) Error() string {
	line, col := p.Position()
	if p.Hint == "" {
		return fmt.Sprintf("%d:%d: %s", line, col, p.Message)
	}
	return fmt.Sprintf("%d:%d: %s (%s)", line, col, p.Message, p.Hint)
}

// Position is the line and column where the problem begins, from 1.
func (p *Problem) Position() (line, column int) { return position(p.Text, p.Start) }

// EndPosition is the line and column just after the problem.
func (p *Problem) EndPosition() (line, column int) { return position(p.Text, p.End) }

func position(text string, at int) (line, column int) {
	before := text[:at]
	line = 1 + strings.Count(before, "\n")
	before = before[strings.LastIndexByte(before, '\n')+1:]
	return line, 1 + utf8.RuneCountInString(before)
}

// window is how many characters Caret shows on each side of the problem.
const window = 60

// Caret shows the line of the problem and below it a line that points at the
// place; both end in a newline. Of a long line it shows what is around.
func (p *Problem) Caret() string {
	from := strings.LastIndexByte(p.Text[:p.Start], '\n') + 1
	line := p.Text[from:]
	if n := strings.IndexByte(line, '\n'); n >= 0 {
		line = line[:n]
	}
	at := p.Start - from
	before, after := clean(line[:at]), clean(line[at:])
	marked := clean(line[at:max(at, min(p.End-from, len(line)))])
	if n := len(before) - window; n > 0 {
		before = append([]rune("…"), before[n:]...)
	}
	if len(after) > window {
		after = append(after[:window:window], '…')
	}
	width := max(1, min(len(marked), len(after)))
	return string(before) + string(after) + "\n" +
		strings.Repeat(" ", len(before)) + strings.Repeat("^", width) + "\n"
}

// clean makes every character of s as wide as any other, as far as that goes.
func clean(s string) []rune {
	out := []rune(s)
	for i, r := range out {
		if r < ' ' || r == 0x7f {
			out[i] = ' '
		}
	}
	return out
}

// Problems finds all problems that an error of this package joins.
func Problems(err error) []*Problem {
	if err == nil {
		return nil
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var out []*Problem
		for _, e := range many.Unwrap() {
			out = append(out, Problems(e)...)
		}
		return out
	}
	var p *Problem
	if errors.As(err, &p) {
		return []*Problem{p}
	}
	return nil
}

// join makes one error of problems; nil of none.
func join(problems []*Problem) error {
	switch len(problems) {
	case 0:
		return nil
	case 1:
		return problems[0]
	}
	errs := make([]error, len(problems))
	for i, p := range problems {
		errs[i] = p
	}
	return errors.Join(errs...)
}
