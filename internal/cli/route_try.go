package cli

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"sluice/internal/route"
)

const routeTestLong = `Say which routes a message takes, where it goes, and of each other route why not:
the source is another, or a part of the condition was false or undefined.

A message is JSON, all of it optional:
  {
    "source": "/messages/modules/filter/outputs/alarms",
    "properties": {"level": "7"},
    "system": {"contentType": "application/json", "contentEncoding": "utf-8"},
    "body": {"temperature": 21.5}
  }`

type routeTestFlags struct {
	routes      []string
	files       []string
	message     string
	lines, json bool
}

func routeTestCommand() *cobra.Command {
	f := &routeTestFlags{}
	cmd := &cobra.Command{
		Use:   "test",
		Short: "Say which way a message goes, and why",
		Long:  routeTestLong,
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&f.routes, "route", nil, "a `route`; may be repeated")
	flags.StringArrayVar(&f.files, "routes", nil, "`file` with routes; may be repeated")
	flags.StringVarP(&f.message, "message", "m", "-", "`file` with the message; - is standard input")
	flags.BoolVar(&f.lines, "jsonl", false, "read one message from each line, and print one line of JSON for each")
	flags.BoolVar(&f.json, "json", false, "print JSON")
	return cmd
}

func (f *routeTestFlags) run(cmd *cobra.Command) error {
	table, err := f.table(cmd)
	if err != nil {
		return err
	}
	in, err := openInput(cmd, f.message)
	if err != nil {
		return err
	}
	defer in.Close()
	if f.lines {
		return eachLine(in, cmd.OutOrStdout(), func(m *routeMessage) any { return tryLine(table, m) })
	}
	m := &routeMessage{}
	d := json.NewDecoder(io.LimitReader(in, maxRouteFile))
	d.DisallowUnknownFields()
	if err := d.Decode(m); err != nil {
		return fmt.Errorf("message %s: %w", f.message, err)
	}
	report, err := try(table, m)
	if err != nil {
		return err
	}
	if f.json {
		return writeJSON(cmd.OutOrStdout(), report)
	}
	report.print(cmd.OutOrStdout())
	return nil
}

// table makes a table of all routes, none of which may be wrong.
func (f *routeTestFlags) table(cmd *cobra.Command) (*route.Table, error) {
	var set routeSet
	for _, name := range f.files {
		if err := set.addFile(cmd, name); err != nil {
			return nil, err
		}
	}
	set.addFlags(f.routes)
	if len(set.wrong) > 0 {
		for _, r := range set.reports() {
			if !r.OK {
				r.print(cmd.ErrOrStderr())
			}
		}
		return nil, fmt.Errorf("%d of the routes %s wrong", len(set.wrong), isOrAre(len(set.wrong)))
	}
	if len(set.rules) == 0 {
		return nil, withHint(usagef("no routes"), "give --route 'FROM …' or --routes FILE")
	}
	return route.NewTable(set.rules...)
}

// tryReport says where a message goes, and its form in JSON.
type tryReport struct {
	Source  string        `json:"source"`
	Targets []tryTarget   `json:"targets"`
	Routes  []routeChance `json:"routes"`
	Error   string        `json:"error,omitempty"`
}

type tryTarget struct {
	Endpoint string `json:"endpoint"`
	Route    string `json:"route"`
	Priority int    `json:"priority"`
	TTL      int64  `json:"timeToLiveSecs,omitempty"`
}

// routeChance is what became of one route.
type routeChance struct {
	Name   string     `json:"name"`
	Into   string     `json:"into"`
	Taken  bool       `json:"taken"`
	Result any        `json:"result,omitempty"` // of the condition, if it was asked
	Why    string     `json:"why,omitempty"`    // if not taken
	Parts  []partJSON `json:"parts,omitempty"`
}

type partJSON struct {
	Text   string      `json:"text"`
	Result string      `json:"result"`
	Inputs []inputJSON `json:"inputs,omitempty"`
}

type inputJSON struct {
	Text  string `json:"text"`
	Value string `json:"value"`
	Note  string `json:"note,omitempty"`
}

func tryLine(table *route.Table, m *routeMessage) any {
	report, err := try(table, m)
	if err != nil {
		return tryReport{Targets: []tryTarget{}, Error: err.Error()}
	}
	return report
}

func try(table *route.Table, m *routeMessage) (tryReport, error) {
	msg, src, err := m.message()
	if err != nil {
		return tryReport{}, err
	}
	r := tryReport{Source: src.String(), Targets: []tryTarget{}}
	for _, t := range table.Match(msg, src) {
		r.Targets = append(r.Targets, tryTarget{t.Endpoint.String(), t.Route, t.Priority, int64(t.TTL.Seconds())})
	}
	for _, v := range table.Explain(msg, src) {
		r.Routes = append(r.Routes, chance(v))
	}
	return r, nil
}

func chance(v route.Verdict) routeChance {
	c := routeChance{Name: v.Name, Into: v.Route.Into().String(), Taken: v.Taken}
	switch {
	case v.Taken:
		c.Result = true
	case !v.FromMatches:
		c.Why = "it is for messages from " + v.Route.From().String()
	case v.OutdoneBy != "":
		c.Result = true
		c.Why = fmt.Sprintf("route %q sends it there already", v.OutdoneBy)
	default:
		c.Result = resultJSON(v.Result)
		c.Why = "its condition is " + v.Result.String()
	}
	for _, p := range v.Parts {
		part := partJSON{Text: p.Text, Result: p.Result}
		for _, in := range p.Inputs {
			part.Inputs = append(part.Inputs, inputJSON(in))
		}
		c.Parts = append(c.Parts, part)
	}
	return c
}

func (r tryReport) print(w io.Writer) {
	fmt.Fprintf(w, "from      %s\n", r.Source)
	for _, t := range r.Targets {
		fmt.Fprintf(w, "into      %s%s\n", t.Endpoint, t.conditions())
	}
	if len(r.Targets) == 0 {
		fmt.Fprintln(w, "into      nowhere: it is acknowledged and dropped")
	}
	fmt.Fprintln(w)
	for _, c := range r.Routes {
		c.print(w)
	}
}

// conditions are the priority and time to live if the route gives them.
func (t tryTarget) conditions() string {
	text := ""
	if t.Priority != route.DefaultPriority {
		text += fmt.Sprintf(", priority %d", t.Priority)
	}
	if t.TTL != 0 {
		text += fmt.Sprintf(", for %d s", t.TTL)
	}
	return text
}

func (c routeChance) print(w io.Writer) {
	if c.Taken {
		fmt.Fprintf(w, "taken     %s\n", c.Name)
		return
	}
	fmt.Fprintf(w, "not taken %s: %s\n", c.Name, c.Why)
	for _, p := range c.Parts {
		fmt.Fprintf(w, "            %s is %s\n", p.Text, p.Result)
		for _, in := range p.Inputs {
			fmt.Fprintf(w, "              %s is %s", in.Text, in.Value)
			if in.Note != "" {
				fmt.Fprintf(w, ": %s", in.Note)
			}
			fmt.Fprintln(w)
		}
	}
}

// resultJSON is true, false or "undefined".
func resultJSON(r route.Result) any {
	if r == route.Undefined {
		return r.String()
	}
	return r == route.True
}
