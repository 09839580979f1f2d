package deploy

import (
	"cmp"
	"errors"
	"regexp"
	"slices"
	"strings"

	"sluice/internal/hub/query"
	"sluice/internal/service"
	"sluice/internal/twin"
	"sluice/iot"
)

// Limits of configurations, which are IoT Hub's.
const (
	MaxConfigurations = 100
	MaxMetrics        = 5
	maxLabels         = 100
	maxLabel          = 128 // characters of a key or value
)

// An entry is a configuration that is in force. It does not change.
type entry struct {
	form      service.Configuration // without results
	content   Content
	condition *query.Condition // nil: it targets nobody
	revision  int64            // counts changes; the entity tag is made of it
}

// ids of configurations are lower case, as IoT Hub has them.
var idForm = regexp.MustCompile(`^[a-z0-9\-:+%_#*?!(),=@;$']{1,128}$`)

// modulesPrefix begins the condition of a configuration of modules.
var modulesPrefix = regexp.MustCompile(`(?i)^\s*from\s+devices\.modules\s+where\s+`)

// parse checks a configuration and makes an entry of it.
func parse(c service.Configuration) (*entry, error) {
	if !idForm.MatchString(c.ID) {
		return nil, invalid("the id %.130q must be 1 to 128 lower-case letters, digits and marks", c.ID)
	}
	if c.Priority < 0 {
		return nil, invalid("the priority %d is negative", c.Priority)
	}
	content, err := ParseContent(c.Content)
	if err != nil {
		return nil, err
	}
	if err := checkLabels(c.Labels); err != nil {
		return nil, err
	}
	if len(c.Metrics.Queries) > MaxMetrics {
		return nil, invalid("there are %d metrics; the limit is %d", len(c.Metrics.Queries), MaxMetrics)
	}
	for name, text := range c.Metrics.Queries {
		if _, err := query.Parse(text); err != nil {
			return nil, invalid("the metric %.130q: %s", name, detail(err))
		}
	}
	e := &entry{form: c, content: content}
	if e.condition, err = ParseTarget(c.TargetCondition); err != nil {
		return nil, invalid("targetCondition: %s", detail(err))
	}
	if onModules := modulesPrefix.MatchString(c.TargetCondition); e.condition != nil && onModules != (content.Target == Modules) {
		return nil, invalid("targetCondition: it must begin with \"FROM devices.modules WHERE\" if the content is moduleContent, and else not")
	}
	return e, nil
}

func checkLabels(labels map[string]string) error {
	if len(labels) > maxLabels {
		return invalid("there are %d labels; the limit is %d", len(labels), maxLabels)
	}
	for key, value := range labels {
		if key == "" || len(key) > maxLabel || len(value) > maxLabel {
			return invalid("the label %.130q: key and value may have up to %d characters", key, maxLabel)
		}
	}
	return nil
}

// ParseTarget reads a target condition; nil is one that nobody meets, since it is
// empty.
func ParseTarget(text string) (*query.Condition, error) {
	text = text[len(modulesPrefix.FindString(text)):]
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	return query.ParseCondition(text)
}

// detail is what an error says of the cause, for the caller.
func detail(err error) string {
	var wrong *query.Error
	var e *iot.Error
	switch {
	case errors.As(err, &wrong):
		return wrong.Error()
	case errors.As(err, &e) && e.Detail != "":
		return e.Detail
	}
	return err.Error()
}

// A Plan is what the configurations of a hub make of one device or module.
type Plan struct {
	// Configurations are those whose condition it meets, by id; nil for none.
	Configurations map[string]twin.Configuration
	// Settings are those of its own twin, under "", and of the modules of an edge
	// device, by their ids.
	Settings map[string][]Setting
}

// How far a configuration has got with an identity.
var (
	targeted = twin.Configuration{Status: "Targeted"}
	applied  = twin.Configuration{Status: "Applied"}
)

// plan decides between the entries that match. They are of target alone, and are
// sorted by rank.
func (p *Plan) plan(target Target, matching []*entry) {
	if len(matching) == 0 {
		return
	}
	if p.Configurations == nil {
		p.Configurations = make(map[string]twin.Configuration, len(matching))
		p.Settings = map[string][]Setting{}
	}
	for _, e := range matching {
		p.Configurations[e.form.ID] = targeted
	}
	winners := matching[len(matching)-1:]
	if target == Edge {
		winners = layers(matching)
	}
	for _, e := range winners {
		p.Configurations[e.form.ID] = applied
		for module, settings := range e.content.Settings {
			p.Settings[module] = append(p.Settings[module], settings...)
		}
	}
}

// layers are the edge deployments that apply together: the base that wins, and the
// layers whose priority is higher.
func layers(matching []*entry) (list []*entry) {
	var base *entry
	for _, e := range matching {
		if e.content.Base() {
			base = e
		}
	}
	if base == nil {
		return nil
	}
	list = append(list, base)
	for _, e := range matching {
		if !e.content.Base() && e.form.Priority > base.form.Priority {
			list = append(list, e)
		}
	}
	return list
}

// byRank sorts entries so that the one that wins is last.
func byRank(list []*entry) {
	slices.SortFunc(list, func(a, b *entry) int {
		return cmp.Or(
			cmp.Compare(a.form.Priority, b.form.Priority),
			a.form.CreatedTime.Compare(b.form.CreatedTime.Time),
			cmp.Compare(a.form.ID, b.form.ID),
		)
	})
}
