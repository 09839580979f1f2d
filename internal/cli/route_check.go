package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sluice/internal/route"
)

const routeCheckLong = `Check the routes of files, or of standard input for "-": what is wrong, and what
is allowed and yet probably not meant. Each complaint shows its place.

The exit status is 1 if a route is wrong, or with --strict if one is doubtful.`

type routeCheckFlags struct {
	routes       []string
	strict, json bool
}

func routeCheckCommand() *cobra.Command {
	f := &routeCheckFlags{}
	cmd := &cobra.Command{
		Use:   "check FILE...",
		Short: "Say what is wrong or doubtful in routes",
		Long:  routeCheckLong,
		RunE:  func(cmd *cobra.Command, files []string) error { return f.run(cmd, files) },
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&f.routes, "route", nil, "check this `route`; may be repeated")
	flags.BoolVar(&f.strict, "strict", false, "fail on doubtful routes too")
	flags.BoolVar(&f.json, "json", false, "print JSON")
	return cmd
}

func (f *routeCheckFlags) run(cmd *cobra.Command, files []string) error {
	if len(files) == 0 && len(f.routes) == 0 {
		return withHint(usagef("no routes: name a FILE, or - for standard input"), "for one route: sluice route check --route 'FROM …'")
	}
	var set routeSet
	for _, name := range files {
		if err := set.addFile(cmd, name); err != nil {
			return err
		}
	}
	set.addFlags(f.routes)
	reports := set.reports()
	if f.json {
		if err := writeJSON(cmd.OutOrStdout(), reports); err != nil {
			return err
		}
	} else {
		for _, r := range reports {
			r.print(cmd.OutOrStdout())
		}
	}
	return f.verdict(reports)
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// verdict is an error if a route is not as it should be.
func (f *routeCheckFlags) verdict(reports []routeReport) error {
	wrong, doubtful := 0, 0
	for _, r := range reports {
		switch {
		case len(r.Errors) > 0:
			wrong++
		case len(r.Doubts) > 0:
			doubtful++
		}
	}
	switch {
	case wrong > 0:
		return fmt.Errorf("%d of %d routes %s wrong", wrong, len(reports), isOrAre(wrong))
	case doubtful > 0 && f.strict:
		return fmt.Errorf("%d of %d routes %s doubtful", doubtful, len(reports), isOrAre(doubtful))
	case len(reports) == 0:
		return errors.New("there are no routes in it")
	}
	return nil
}

func isOrAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

// routeReport is what is to be said of one route, and its form in JSON.
type routeReport struct {
	Name      string      `json:"name"`
	OK        bool        `json:"ok"`
	From      string      `json:"from,omitempty"`
	Condition string      `json:"condition,omitempty"`
	Into      string      `json:"into,omitempty"`
	Priority  *int        `json:"priority,omitempty"`
	TTL       int64       `json:"timeToLiveSecs,omitempty"`
	Errors    []complaint `json:"errors,omitempty"`
	Doubts    []complaint `json:"doubts,omitempty"`
}

// complaint is one thing wrong or doubtful.
type complaint struct {
	Message   string `json:"message"`
	Hint      string `json:"hint,omitempty"`
	Line      int    `json:"line,omitempty"` // of the route's text, from 1
	Column    int    `json:"column,omitempty"`
	EndLine   int    `json:"endLine,omitempty"`
	EndColumn int    `json:"endColumn,omitempty"`
	caret     string
}

func (s *routeSet) reports() []routeReport {
	out := []routeReport{}
	for _, r := range s.rules {
		out = append(out, reportOn(r))
	}
	for _, w := range s.wrong {
		r := routeReport{Name: w.Name}
		for _, p := range route.Problems(w.Err) {
			r.Errors = append(r.Errors, complain(p))
		}
		if len(r.Errors) == 0 {
			r.Errors = []complaint{{Message: w.Err.Error()}}
		}
		out = append(out, r)
	}
	slices.SortStableFunc(out, func(a, b routeReport) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func reportOn(r route.Rule) routeReport {
	out := routeReport{
		Name: r.Name, OK: true,
		From: r.Route.From().String(), Into: r.Route.Into().String(), TTL: int64(r.TTL.Seconds()),
	}
	if c := r.Route.Condition(); c != nil {
		out.Condition = c.String()
	}
	if r.Priority != route.DefaultPriority {
		out.Priority = &r.Priority
	}
	for _, p := range r.Route.Doubts() {
		out.Doubts = append(out.Doubts, complain(p))
	}
	return out
}

func complain(p *route.Problem) complaint {
	c := complaint{Message: p.Message, Hint: p.Hint, caret: p.Caret()}
	c.Line, c.Column = p.Position()
	c.EndLine, c.EndColumn = p.EndPosition()
	return c
}

func (r routeReport) print(w io.Writer) {
	verdict := "ok"
	if !r.OK {
		verdict = "wrong"
	} else if len(r.Doubts) > 0 {
		verdict = "doubtful"
	}
	fmt.Fprintf(w, "%-9s %s\n", verdict, r.Name)
	for _, c := range slices.Concat(r.Errors, r.Doubts) {
		c.print(w, "          ")
	}
}

func (c complaint) print(w io.Writer, indent string) {
	for line := range strings.Lines(c.caret) {
		fmt.Fprint(w, indent, line)
	}
	if c.Line > 1 {
		fmt.Fprintf(w, "%sline %d, column %d: ", indent, c.Line, c.Column)
	} else {
		fmt.Fprint(w, indent)
	}
	fmt.Fprintln(w, c.Message)
	if c.Hint != "" {
		fmt.Fprintf(w, "%s  hint: %s\n", indent, c.Hint)
	}
}
