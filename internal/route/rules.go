package route

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// RuleError says which named route is wrong.
type RuleError struct {
	Name string
	Err  error
}

// Error is `route "name": ` and what is wrong with it.
func (e *RuleError) Error() string { return fmt.Sprintf("route %q: %v", e.Name, e.Err) }

// Unwrap returns what is wrong.
func (e *RuleError) Unwrap() error { return e.Err }

// ParseRules reads the routes of $edgeHub's desired properties: a JSON object
// that gives each name a route, or {"route", "priority", "timeToLiveSecs"}.
// Names whose value is null or blank text have no route. The rules are in the
// order of their names; the error joins a [*RuleError] for each bad one, and the
// good ones are returned with it.
func ParseRules(data []byte) ([]Rule, error) {
	var named map[string]json.RawMessage
	if err := json.Unmarshal(data, &named); err != nil {
		return nil, fmt.Errorf("routes: %w", err)
	}
	var rules []Rule
	var wrong []error
	for _, name := range slices.Sorted(maps.Keys(named)) {
		rule, err := parseRule(name, named[name])
		switch {
		case err != nil:
			wrong = append(wrong, &RuleError{name, err})
		case rule.Route != nil:
			rules = append(rules, rule)
		}
	}
	return rules, errors.Join(wrong...)
}

// parseRule reads one value. The rule has no route if the value has none.
func parseRule(name string, data json.RawMessage) (Rule, error) {
	rule := Rule{Name: name, Priority: DefaultPriority}
	var text string
	switch data[0] {
	case '"':
		if err := json.Unmarshal(data, &text); err != nil {
			return rule, err
		}
		if strings.TrimSpace(text) == "" {
			return rule, nil
		}
	case '{':
		var err error
		if text, err = rule.settings(data); err != nil {
			return rule, err
		}
	case 'n':
		return rule, nil
	default:
		return rule, fmt.Errorf("a route is text or an object, not %s", shorten(string(data)))
	}
	if name == "" {
		return rule, errors.New("its name is empty")
	}
	var err error
	rule.Route, err = Parse(text)
	return rule, err
}

// settings reads the object form and returns the route's text.
func (r *Rule) settings(data []byte) (string, error) {
	var spec struct {
		Route    *string
		Priority json.Number
		TTL      json.Number `json:"timeToLiveSecs"`
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&spec); err != nil {
		return "", err
	}
	if spec.Route == nil {
		return "", errors.New(`"route" is missing`)
	}
	if spec.Priority != "" {
		n, err := spec.Priority.Int64()
		if err != nil || n != DefaultPriority && (n < 0 || n > MaxPriority) {
			return "", fmt.Errorf("the priority %s is not within 0 and %d", spec.Priority, MaxPriority)
		}
		r.Priority = int(n)
	}
	if spec.TTL != "" {
		n, err := spec.TTL.Int64()
		if err != nil || n < 0 || n > math.MaxUint32 {
			return "", fmt.Errorf("timeToLiveSecs is %s, not a number of seconds within 0 and %d", spec.TTL, uint32(math.MaxUint32))
		}
		r.TTL = time.Duration(n) * time.Second
	}
	return *spec.Route, nil
}
