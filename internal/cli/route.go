package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"sluice/internal/route"
)

const routeLong = `Check routes and try them on messages, without a gateway.

A route is FROM source [WHERE condition] INTO sink; docs/routes.md explains the
language. A FILE of routes is a deployment manifest, $edgeHub's desired
properties, an object of routes by name, or text with one route on each line.`

const routeExamples = `  Check the routes of a deployment manifest:
    sluice route check deployment.json

  Check one route:
    sluice route check --route 'FROM /messages/* WHERE level > 5 INTO $upstream'

  See which way a message goes, and why not the others:
    sluice route test --routes deployment.json --message message.json

  Ask a condition:
    sluice route eval "as_number('1,200') > 5"`

func routeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "route",
		Short:   "Check routes, and try them on messages",
		Long:    routeLong,
		Example: routeExamples,
	}
	cmd.AddCommand(routeCheckCommand(), routeTestCommand(), routeEvalCommand())
	return cmd
}

// openInput opens a file, or standard input for "-".
func openInput(cmd *cobra.Command, name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(cmd.InOrStdin()), nil
	}
	return os.Open(name)
}

// maxRouteFile is the longest file of routes or of one message, in bytes.
const maxRouteFile = 16 << 20

func readInput(cmd *cobra.Command, name string) ([]byte, error) {
	in, err := openInput(cmd, name)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	data, err := io.ReadAll(io.LimitReader(in, maxRouteFile+1))
	if err == nil && len(data) > maxRouteFile {
		err = fmt.Errorf("%s is longer than %d MiB", name, maxRouteFile>>20)
	}
	return data, err
}

// routeSet is routes from files and flags, some of which may be wrong.
type routeSet struct {
	rules []route.Rule
	wrong []*route.RuleError
}

// add takes in what [route.ParseRules] returned.
func (s *routeSet) add(rules []route.Rule, err error) error {
	s.rules = append(s.rules, rules...)
	if err == nil {
		return nil
	}
	many, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	for _, e := range many.Unwrap() {
		var wrong *route.RuleError
		if !errors.As(e, &wrong) {
			return err
		}
		s.wrong = append(s.wrong, wrong)
	}
	return nil
}

// addText takes one route in.
func (s *routeSet) addText(name, text string) {
	r, err := route.Parse(text)
	if err != nil {
		s.wrong = append(s.wrong, &route.RuleError{Name: name, Err: err})
		return
	}
	s.rules = append(s.rules, route.Rule{Name: name, Route: r, Priority: route.DefaultPriority})
}

// addFile takes a file's routes in.
func (s *routeSet) addFile(cmd *cobra.Command, name string) error {
	data, err := readInput(cmd, name)
	if err != nil {
		return err
	}
	text := strings.TrimSpace(strings.TrimPrefix(string(data), "\uFEFF"))
	if !strings.HasPrefix(text, "{") {
		s.addLines(text)
		return nil
	}
	routes, err := findRoutes([]byte(text))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return s.add(route.ParseRules(routes))
}

// addLines takes a route from each line that is neither blank nor begins with #.
func (s *routeSet) addLines(text string) {
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "#") {
			s.addText(fmt.Sprintf("line %d", i+1), line)
		}
	}
}

func (s *routeSet) addFlags(routes []string) {
	for i, text := range routes {
		name := "route"
		if len(routes) > 1 {
			name = fmt.Sprintf("route %d", i+1)
		}
		s.addText(name, text)
	}
}

// routePlaces are where routes stand in a JSON document, the outermost first.
var routePlaces = [][]string{
	{"content"},
	{"modulesContent"},
	{"$edgeHub"},
	{"properties"},
	{"properties.desired"},
	{"desired"},
	{"routes"},
	{"properties.desired.routes"},
}

// findRoutes finds the object of routes in a deployment manifest, in desired
// properties, or finds that the document is one.
func findRoutes(doc json.RawMessage) (json.RawMessage, error) {
	for _, place := range routePlaces {
		var members map[string]json.RawMessage
		if err := json.Unmarshal(doc, &members); err != nil {
			return nil, err
		}
		if layered := layeredRoutes(members); layered != nil {
			return layered, nil
		}
		if inner := members[place[0]]; len(inner) > 0 && inner[0] == '{' && !isRule(inner) {
			doc = inner
		}
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(doc, &members); err != nil {
		return nil, err
	}
	if members["schemaVersion"] != nil || members["modulesContent"] != nil || members["$edgeAgent"] != nil {
		return nil, errors.New("there are no routes in it: they stand at modulesContent, $edgeHub, properties.desired, routes")
	}
	return doc, nil
}

// isRule reports whether an object is one route with its settings, and not an
// object of routes.
func isRule(doc json.RawMessage) bool {
	var rule struct{ Route *string }
	return json.Unmarshal(doc, &rule) == nil && rule.Route != nil
}

// layeredRoutes collects members called properties.desired.routes.NAME, as
// layered deployments have them; nil if there are none.
func layeredRoutes(members map[string]json.RawMessage) json.RawMessage {
	const prefix = "properties.desired.routes."
	found := map[string]json.RawMessage{}
	for key, v := range members {
		if name, ok := strings.CutPrefix(key, prefix); ok {
			found[name] = v
		}
	}
	if len(found) == 0 {
		return nil
	}
	out, err := json.Marshal(found)
	if err != nil {
		return nil // what was unmarshalled can be marshalled
	}
	return out
}
