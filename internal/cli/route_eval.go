package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"sluice/internal/route"
)

const routeEvalLong = `Say whether a condition is true, false or undefined for a message.

With --jsonl each line of standard input, or of the file given by --message, is
a message with its "condition", and each line of output is
{"result": true | false | "undefined" | "error", "error": "…"}.`

type routeEvalFlags struct {
	message     string
	lines, json bool
}

func routeEvalCommand() *cobra.Command {
	f := &routeEvalFlags{}
	cmd := &cobra.Command{
		Use:   "eval [CONDITION]",
		Short: "Say whether a condition is true, false or undefined",
		Long:  routeEvalLong,
		Args:  cobra.MaximumNArgs(1),
		RunE:  func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.message, "message", "m", "", "`file` with the message; - is standard input")
	flags.BoolVar(&f.lines, "jsonl", false, "read a condition with its message from each line")
	flags.BoolVar(&f.json, "json", false, "print JSON")
	return cmd
}

func (f *routeEvalFlags) run(cmd *cobra.Command, args []string) error {
	if f.lines {
		if len(args) > 0 {
			return usagef("with --jsonl the conditions stand in the lines")
		}
		name := f.message
		if name == "" {
			name = "-"
		}
		in, err := openInput(cmd, name)
		if err != nil {
			return err
		}
		defer in.Close()
		return eachLine(in, cmd.OutOrStdout(), func(q *conditionQuestion) any { return q.answer() })
	}
	if len(args) == 0 {
		return withHint(usagef("no condition"), "as in: sluice route eval \"level = 'high'\"")
	}
	return f.one(cmd, args[0])
}

// one answers for one condition.
func (f *routeEvalFlags) one(cmd *cobra.Command, condition string) error {
	q := &conditionQuestion{Condition: condition}
	if f.message != "" {
		data, err := readInput(cmd, f.message)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(data, &q.routeMessage); err != nil {
			return fmt.Errorf("message %s: %w", f.message, err)
		}
	}
	c, err := q.compile()
	if err != nil {
		for _, p := range route.Problems(err) {
			complain(p).print(cmd.ErrOrStderr(), "")
		}
		return errors.New("the condition is wrong")
	}
	for _, p := range c.Doubts() {
		complain(p).print(cmd.ErrOrStderr(), "")
	}
	sample, err := q.sample()
	if err != nil {
		return err
	}
	if f.json {
		return writeJSON(cmd.OutOrStdout(), conditionAnswer{Result: resultJSON(c.EvalSample(sample))})
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), c.EvalSample(sample))
	return err
}

// conditionQuestion is a line of input: a message and a condition about it.
type conditionQuestion struct {
	Condition string `json:"condition"`
	routeMessage
}

// conditionAnswer is a line of output.
type conditionAnswer struct {
	Result any    `json:"result"`
	Error  string `json:"error,omitempty"`
}

func (q *conditionQuestion) compile() (*route.Condition, error) {
	return route.ParseCondition(q.Condition, route.ParsePattern(q.Source))
}

func (q *conditionQuestion) answer() conditionAnswer {
	c, err := q.compile()
	if err != nil {
		return conditionAnswer{Result: "error", Error: err.Error()}
	}
	sample, err := q.sample()
	if err != nil {
		return conditionAnswer{Result: "error", Error: err.Error()}
	}
	return conditionAnswer{Result: resultJSON(c.EvalSample(sample))}
}

// maxRouteLine is the longest line of input, in bytes.
const maxRouteLine = 4 << 20

// eachLine answers each line of JSON with a line of JSON. A line that cannot be
// read is answered with an error, so that answers and lines stay together. Each
// answer is written at once: the asker may wait for it.
func eachLine[Q any](in io.Reader, out io.Writer, answer func(*Q) any) error {
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxRouteLine)
	for lines.Scan() {
		if len(lines.Bytes()) == 0 {
			continue
		}
		q := new(Q)
		var a any
		if err := json.Unmarshal(lines.Bytes(), q); err != nil {
			a = conditionAnswer{Result: "error", Error: err.Error()}
		} else {
			a = answer(q)
		}
		if err := e.Encode(a); err != nil {
			return err
		}
	}
	return lines.Err()
}
