package mqttbridge

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sluice/iot"
)

// mapping is a Mapping that is ready to use. It does not change.
type mapping struct {
	messages []messages
	// From the field; nil if turned off.
	reported, response *pattern
	// To the field.
	down [kinds]*pattern
}

// kind is what goes down to a leaf.
type kind int

const (
	command kind = iota
	method
	desired
	state
	kinds
)

// messages is Messages that is ready to use.
type messages struct {
	topic       *pattern
	id          *template
	payload     *template // of a part; nil for all of it
	envelope    bool
	contentType string
	properties  []property
}

type property struct {
	key   string
	value *template
}

// compile checks a mapping. With a broker of the bridge's own it is known who
// published.
func (m *Mapping) compile(own bool) (*mapping, error) {
	var wrong []error
	out := &mapping{}
	list := m.Messages
	if len(list) == 0 {
		list = []Messages{{Topic: DefaultMessages}}
	}
	for i := range list {
		c, err := list[i].compile(own)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("messages: %w", err))
			continue
		}
		out.messages = append(out.messages, *c)
	}
	if err := out.setTopics(m.Topics); err != nil {
		wrong = append(wrong, err)
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, err
	}
	return out, out.loops()
}

func (c *Messages) compile(own bool) (*messages, error) {
	topic, err := parsePattern(c.Topic)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, l := range topic.levels {
		if l.name != "" {
			names = append(names, l.name)
		}
	}
	m := &messages{topic: topic, contentType: c.ContentType}
	if m.id, err = parseTemplate(cmp.Or(c.ID, "{id}"), names); err != nil {
		if c.ID == "" {
			return nil, fmt.Errorf("topic %q needs a level {id}, or id must say where the leaf's id is", c.Topic)
		}
		return nil, fmt.Errorf("id: %w", err)
	}
	switch c.Payload {
	case "", "raw":
	case "envelope":
		m.envelope = true
	default:
		if m.payload, err = parseTemplate(c.Payload, nil); err != nil {
			return nil, fmt.Errorf("payload: %w", err)
		}
		if _, ok := m.payload.only(); !ok {
			return nil, fmt.Errorf("payload is %q; it is raw, envelope, or {json:path} for a part", c.Payload)
		}
	}
	return m, m.setProperties(c.Properties, names, own)
}

func (m *messages) setProperties(properties map[string]string, names []string, own bool) error {
	for _, key := range slices.Sorted(maps.Keys(properties)) {
		value, err := parseTemplate(properties[key], names)
		if err != nil {
			return fmt.Errorf("properties: %s: %w", key, err)
		}
		m.properties = append(m.properties, property{key, value})
	}
	for _, t := range append([]property{{"id", m.id}}, m.properties...) {
		if !own && (t.value.uses("client_id") || t.value.uses("username")) {
			return fmt.Errorf("%s is %q: another's broker does not say who published", t.key, t.value.text)
		}
	}
	return nil
}

// setTopics compiles the topics that are not telemetry's.
func (m *mapping) setTopics(c *Topics) error {
	if c == nil {
		c = &Topics{}
	}
	var wrong []error
	set := func(key, text, standard string, publish bool, names ...string) *pattern {
		if text == "-" {
			return nil
		}
		p, err := parsePattern(cmp.Or(text, standard))
		if err == nil {
			err = p.needs(publish, names...)
		}
		if err != nil {
			wrong = append(wrong, fmt.Errorf("topics: %s: %w", key, err))
		}
		return p
	}
	m.down[command] = set("command", c.Command, DefaultCommand, true, "id")
	m.down[method] = set("method", c.Method, DefaultMethod, true, "id", "name", "rid")
	m.down[desired] = set("desired", c.Desired, DefaultDesired, true, "id")
	m.down[state] = set("state", c.State, DefaultState, true, "id")
	m.response = set("method_response", c.MethodResponse, DefaultMethodResponse, false, "id", "rid", "status")
	m.reported = set("reported", c.Reported, DefaultReported, false, "id")
	if (m.response == nil) != (m.down[method] == nil) {
		wrong = append(wrong, errors.New("topics: method and method_response are turned off together, or neither"))
	}
	return errors.Join(wrong...)
}

// up are the patterns of what comes from the field.
func (m *mapping) up() []*pattern {
	var list []*pattern
	for _, p := range []*pattern{m.response, m.reported} {
		if p != nil {
			list = append(list, p)
		}
	}
	for i := range m.messages {
		list = append(list, m.messages[i].topic)
	}
	return list
}

// loops refuses a mapping by which the bridge would hear what it says itself.
func (m *mapping) loops() error {
	for _, up := range m.up() {
		for _, down := range m.down {
			if down != nil && up.overlaps(down) {
				return fmt.Errorf("topics: what is published to %q would also be read as from a leaf, by %q: make one of them different", down.text, up.text)
			}
		}
	}
	return nil
}

// message makes telemetry from a publication that fits m. It may be nil, with the
// leaf's id and an error that says what is wrong with the publication.
func (m *messages) message(p *publication) (id string, out iot.Message, err error) {
	values := map[string]string{"topic": p.topic, "client_id": p.clientID, "username": p.username}
	m.topic.match(p.topic, func(name, value string) { values[name] = value })
	if id, err = m.id.fill(values, p.payload); err != nil {
		return "", out, fmt.Errorf("leaf id: %w", err)
	}
	if out.Body, err = m.body(p); err != nil {
		return id, out, err
	}
	for _, property := range m.properties {
		value, err := property.value.fill(values, p.payload)
		if err != nil {
			return id, out, fmt.Errorf("property %s: %w", property.key, err)
		}
		out.Properties.Set(property.key, value)
	}
	switch {
	case m.contentType != "":
		out.System.Set(iot.ContentType, m.contentType)
	case looksJSON(out.Body):
		out.System.Set(iot.ContentType, "application/json")
		out.System.Set(iot.ContentEncoding, "utf-8")
	}
	return id, out, nil
}

func (m *messages) body(p *publication) ([]byte, error) {
	switch {
	case m.payload != nil:
		path, _ := m.payload.only()
		return selectJSON(p.payload, path)
	case m.envelope:
		if !json.Valid(p.payload) {
			return nil, errors.New("the payload is not JSON")
		}
		return json.Marshal(struct {
			Topic   string          `json:"topic"`
			Payload json.RawMessage `json:"payload"`
		}{p.topic, p.payload})
	}
	return p.payload, nil
}

// looksJSON reports whether a body is a JSON object or list, which the hub's
// routes can look into.
func looksJSON(body []byte) bool {
	text := strings.TrimLeft(string(body[:min(len(body), 16)]), " \t\r\n")
	return (strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[")) && json.Valid(body)
}
