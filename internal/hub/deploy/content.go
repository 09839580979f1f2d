package deploy

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"sluice/internal/hub/code"
	"sluice/internal/service"
	"sluice/internal/twin"
	"sluice/iot"
)

// Target says whose twins a content is about.
type Target uint8

// The targets.
const (
	Devices Target = iota // the devices themselves
	Modules               // modules themselves
	Edge                  // the modules of edge devices
)

// A Setting is one part of the desired properties, and what it becomes.
type Setting struct {
	Path  []string // empty: all desired properties
	Value json.RawMessage
}

// A Content is what a configuration makes of a target. It does not change.
type Content struct {
	Target Target
	// Settings are by the id of the module, for Edge, and else under "".
	Settings map[string][]Setting
}

// maxModules bounds the modules of one content, as the registry does those of one
// device.
const maxModules = 50

// ParseContent reads a content. The error is an [iot.Error] with the code
// ArgumentInvalid, whose detail names what is wrong.
func ParseContent(c service.ConfigurationContent) (Content, error) {
	kinds := 0
	for _, there := range []bool{c.DeviceContent != nil, c.ModuleContent != nil, c.ModulesContent != nil} {
		if there {
			kinds++
		}
	}
	switch {
	case kinds != 1:
		return Content{}, invalid("the content has %d of deviceContent, moduleContent and modulesContent; it must have one", kinds)
	case c.DeviceContent != nil:
		return single(Devices, "deviceContent", c.DeviceContent)
	case c.ModuleContent != nil:
		return single(Modules, "moduleContent", c.ModuleContent)
	}
	return edge(c.ModulesContent)
}

func single(target Target, name string, content map[string]json.RawMessage) (Content, error) {
	settings, err := parseSettings(name, content)
	return Content{target, map[string][]Setting{"": settings}}, err
}

func edge(modules map[string]map[string]json.RawMessage) (Content, error) {
	c := Content{Edge, map[string][]Setting{}}
	if len(modules) > maxModules {
		return c, invalid("modulesContent has %d modules; a device has at most %d", len(modules), maxModules)
	}
	for module, content := range modules {
		if err := iot.ValidateID(module); err != nil {
			return c, invalid("modulesContent: the module id %q %v", module, err)
		}
		settings, err := parseSettings("modulesContent."+module, content)
		if err != nil {
			return c, err
		}
		c.Settings[module] = settings
	}
	return c, nil
}

// parseSettings reads the settings of one twin, in the order of their names: a
// part comes after the whole that it is in.
func parseSettings(where string, content map[string]json.RawMessage) ([]Setting, error) {
	const prefix = "properties.desired"
	settings := make([]Setting, 0, len(content))
	for _, name := range slices.Sorted(maps.Keys(content)) {
		rest, ok := strings.CutPrefix(name, prefix)
		if !ok || rest != "" && (rest[0] != '.' || strings.Contains(rest+".", "..")) {
			return nil, invalid("%s: %q is not %s or a property of it", where, name, prefix)
		}
		s := Setting{Value: content[name]}
		if rest != "" {
			s.Path = strings.Split(rest[1:], ".")
		}
		if len(s.Path) == 0 && !isObject(s.Value) {
			return nil, invalid("%s: %s must be a JSON object", where, name)
		}
		if len(s.Path) > twin.MaxDepth {
			return nil, invalid("%s: %q is deeper than %d", where, name, twin.MaxDepth)
		}
		settings = append(settings, s)
	}
	// Whatever stands there must be possible for an empty twin.
	if _, _, err := Apply(twin.Document{}, settings, time.Time{}); err != nil {
		return nil, invalid("%s: %s", where, detail(err))
	}
	return settings, nil
}

func isObject(v json.RawMessage) bool { return bytes.HasPrefix(bytes.TrimSpace(v), []byte("{")) }

// Base reports whether c sets all that the agent of an edge device runs.
func (c *Content) Base() bool {
	return slices.ContainsFunc(c.Settings[iot.EdgeAgentModule], func(s Setting) bool { return len(s.Path) == 0 })
}

// ModuleIDs are the modules of an edge device that a deployment is about, sorted:
// those that it has settings for, and those that it tells the agent to run.
func ModuleIDs(settings map[string][]Setting) []string {
	ids := slices.Collect(maps.Keys(settings))
	if doc, _, err := Apply(twin.Document{}, settings[iot.EdgeAgentModule], time.Time{}); err == nil {
		var agent struct {
			Modules map[string]json.RawMessage `json:"modules"`
		}
		_ = json.Unmarshal(doc.JSON(), &agent) // modules of another form are none
		for id := range agent.Modules {
			if iot.ValidateID(id) == nil {
				ids = append(ids, id)
			}
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// Apply makes the settings of a document of desired properties. changed is false,
// and the document is returned as it is, if that is what it says already. Errors
// are those of [twin.Document.Merge].
func Apply(desired twin.Document, settings []Setting, now time.Time) (after twin.Document, changed bool, err error) {
	tree, err := decode(desired.JSON())
	if err != nil {
		return desired, false, err
	}
	for _, s := range settings {
		value, err := decode(s.Value)
		if err != nil {
			return desired, false, err
		}
		if len(s.Path) == 0 {
			tree = value
			continue
		}
		tree = set(tree, s.Path, value)
	}
	body, err := json.Marshal(tree)
	if err != nil {
		return desired, false, err
	}
	next, err := desired.Replace(body, now)
	if err != nil || desired.Equal(next) {
		return desired, false, err
	}
	// A merge keeps the metadata of what stays.
	after, err = desired.Merge(desired.Diff(next), now)
	return after, err == nil, err
}

// set puts value at path, in objects that it makes where there are none.
func set(tree any, path []string, value any) any {
	object, ok := tree.(map[string]any)
	if !ok {
		object = map[string]any{}
	}
	if len(path) == 1 {
		object[path[0]] = value
	} else {
		object[path[0]] = set(object[path[0]], path[1:], value)
	}
	return object
}

// decode reads JSON, and keeps numbers as they are written.
func decode(text json.RawMessage) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

func invalid(format string, args ...any) error {
	return code.Errorf(code.ArgumentInvalid, "configuration", iot.Identity{}, format, args...)
}
