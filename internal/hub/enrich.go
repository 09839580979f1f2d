package hub

import (
	"encoding/json"
	"fmt"
	"strings"

	"sluice/iot"
)

// MaxEnrichments is how many properties a hub adds to events, as IoT Hub's.
const MaxEnrichments = 10

// An Enrichment is a property that the hub adds to what devices send, and to events of
// its own, in place of one that they bring under the same name.
type Enrichment struct {
	Key string
	// Value is a text, or $iothubname, or a path in the sender's twin:
	// $twin.tags.site, $twin.properties.desired.interval, $twin.properties.reported.x.
	// Where there is nothing at the path, the path itself is the value, as in IoT Hub.
	Value string
}

// ParseEnrichment reads KEY=VALUE.
func ParseEnrichment(text string) (Enrichment, error) {
	key, value, ok := strings.Cut(text, "=")
	switch {
	case !ok || key == "" || value == "":
		return Enrichment{}, fmt.Errorf("enrichment %q: it is KEY=VALUE", text)
	case strings.ContainsFunc(key, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.", r)
	}):
		return Enrichment{}, fmt.Errorf("enrichment %q: a key has letters, digits, -, _ and . alone", text)
	case strings.HasPrefix(value, "$") && value != hubNameVariable && pathOf(value) == nil:
		return Enrichment{}, fmt.Errorf("enrichment %q: a value with $ is $iothubname, $twin.tags.…, $twin.properties.desired.… or $twin.properties.reported.…", text)
	}
	return Enrichment{key, value}, nil
}

const hubNameVariable = "$iothubname"

// pathOf is the path in the twin that a value is, below its section, which comes
// first; nil if it is none.
func pathOf(value string) []string {
	for prefix, section := range map[string]string{
		"$twin.tags.": "tags", "$twin.properties.desired.": "desired", "$twin.properties.reported.": "reported",
	} {
		if rest, ok := strings.CutPrefix(value, prefix); ok && rest != "" {
			return append([]string{section}, strings.Split(rest, ".")...)
		}
	}
	return nil
}

// enrich adds the hub's properties to messages of one sender.
func (h *Hub) enrich(sender iot.Identity, generation string, batch []iot.Message) {
	for _, e := range h.opt.Enrichments {
		value := h.enrichment(e.Value, sender, generation)
		for i := range batch {
			batch[i].Properties.Set(e.Key, value)
		}
	}
}

func (h *Hub) enrichment(value string, sender iot.Identity, generation string) string {
	if value == hubNameVariable {
		return h.opt.Hosts[0]
	}
	path := pathOf(value)
	if path == nil {
		return value
	}
	t, err := h.opt.Twins.Get(sender, generation)
	if err != nil {
		return value
	}
	document := t.Tags
	switch path[0] {
	case "desired":
		document = t.Desired
	case "reported":
		document = t.Reported
	}
	found, ok := document.Lookup(path[1:])
	if !ok {
		return value
	}
	var text string
	raw := found.AppendJSON(nil)
	if json.Unmarshal(raw, &text) != nil {
		return string(raw)
	}
	return text
}
