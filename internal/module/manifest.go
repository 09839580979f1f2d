package module

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sluice/iot"
)

// A Manifest is a deployment: which modules there should be.
type Manifest struct {
	Modules []Spec // by startupOrder, then name
	system  map[string]json.RawMessage
	runtime json.RawMessage
}

// manifestText is the desired properties of $edgeAgent.
type manifestText struct {
	SchemaVersion string                     `json:"schemaVersion"`
	Runtime       json.RawMessage            `json:"runtime"`
	System        map[string]json.RawMessage `json:"systemModules"`
	Modules       map[string]json.RawMessage `json:"modules"`
}

// A Fault is what is wrong with a deployment, with the status that edgeAgent
// reports for it.
type Fault struct {
	Code int // 400 wrong, 412 of another schema, 417 empty
	Text string
}

func (f *Fault) Error() string { return f.Text }

func fault(code int, format string, args ...any) error {
	return &Fault{code, fmt.Sprintf(format, args...)}
}

// ParseManifest reads a deployment: the desired properties of $edgeAgent, or a file
// for `az iot edge set-modules`, which has them inside. The error is a *Fault.
func ParseManifest(text []byte) (*Manifest, error) {
	text, err := unwrap(text)
	if err != nil {
		return nil, err
	}
	var m manifestText
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fault(400, "the deployment cannot be read: %v", err)
	}
	switch major, minor, _ := strings.Cut(m.SchemaVersion, "."); {
	case m.SchemaVersion == "" && m.Modules == nil && m.System == nil:
		return nil, fault(417, "the deployment is empty")
	case m.SchemaVersion == "":
		return nil, fault(400, `schemaVersion is missing; write "schemaVersion": "1.1"`)
	case major != "1" || minor != "" && minor != "0" && minor != "1":
		return nil, fault(412, "schemaVersion %q is not supported; write 1.0 or 1.1", m.SchemaVersion)
	}
	out := &Manifest{system: m.System, runtime: m.Runtime}
	var wrong []error
	for name, raw := range m.Modules {
		s, err := parseSpec(name, raw)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("module %s: %w", name, err))
		}
		out.Modules = append(out.Modules, s)
	}
	if len(wrong) > 0 {
		slices.SortFunc(wrong, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
		return nil, fault(400, "%v", errors.Join(wrong...))
	}
	slices.SortFunc(out.Modules, func(a, b Spec) int {
		return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.Name, b.Name))
	})
	return out, nil
}

// unwrap finds the desired properties in a deployment file.
func unwrap(text []byte) ([]byte, error) {
	var outer struct {
		Content        json.RawMessage            `json:"content"`
		ModulesContent map[string]json.RawMessage `json:"modulesContent"`
	}
	if err := json.Unmarshal(text, &outer); err != nil {
		return nil, fault(400, "the deployment is no JSON object: %s", explain(text, err))
	}
	switch {
	case outer.Content != nil:
		return unwrap(outer.Content)
	case outer.ModulesContent == nil:
		return text, nil
	}
	agent, ok := outer.ModulesContent[iot.EdgeAgentModule]
	if !ok {
		return nil, fault(400, "modulesContent has no %s", iot.EdgeAgentModule)
	}
	var twin map[string]json.RawMessage
	if err := json.Unmarshal(agent, &twin); err != nil {
		return nil, fault(400, "modulesContent.%s: %v", iot.EdgeAgentModule, err)
	}
	desired, ok := twin["properties.desired"]
	if !ok {
		return nil, fault(400, `modulesContent.%s has no "properties.desired"`, iot.EdgeAgentModule)
	}
	return desired, nil
}

// explain says in which line an error of JSON is.
func explain(text []byte, err error) string {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Sprintf("line %d: %v", 1+bytes.Count(text[:min(int(syntax.Offset), len(text))], []byte("\n")), err)
	}
	return err.Error()
}
