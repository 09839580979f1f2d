package leafwire

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"sluice/iot"
)

// Method is a direct method for a leaf.
type Method struct {
	ID      string // what the [Response] has as correlation
	Name    string
	Timeout time.Duration   // within which the response must come; whole seconds
	Payload json.RawMessage // nil for none
}

// Method is the message that carries call.
func (r Route) Method(call Method) iot.Message {
	m := r.down(TypeMethod, call.Payload)
	setJSON(&m)
	m.System.Set(iot.MessageID, call.ID)
	m.Properties.Set(methodProperty, call.Name)
	m.Properties.Set(timeoutProperty, strconv.Itoa(int(call.Timeout/time.Second)))
	return m
}

// ParseMethod reads a LeafMethod.
func ParseMethod(m *iot.Message) (Method, error) {
	call := Method{ID: m.System.Get(iot.MessageID)}
	call.Name, _ = m.Properties.Lookup(methodProperty)
	if call.ID == "" || call.Name == "" {
		return Method{}, fmt.Errorf("leaf method: message id or %s is missing", methodProperty)
	}
	if text, ok := m.Properties.Lookup(timeoutProperty); ok {
		secs, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return Method{}, fmt.Errorf("leaf method: %s is %.50q", timeoutProperty, text)
		}
		call.Timeout = time.Duration(secs) * time.Second
	}
	if len(m.Body) > 0 {
		call.Payload = json.RawMessage(m.Body)
	}
	return call, nil
}

// Desired are desired properties of a leaf, with their $version: all of them if
// Full, or else a patch.
type Desired struct {
	Full  bool
	Patch json.RawMessage
}

// Desired is the message that carries d.
func (r Route) Desired(d Desired) iot.Message {
	m := r.down(TypeDesired, d.Patch)
	setJSON(&m)
	if d.Full {
		m.Properties.Set(fullProperty, "true")
	}
	return m
}

// ParseDesired reads a LeafDesired.
func ParseDesired(m *iot.Message) (d Desired, err error) {
	full, _ := m.Properties.Lookup(fullProperty)
	d.Full = full == "true"
	if d.Patch, err = ParseReported(m.Body); err != nil {
		return Desired{}, fmt.Errorf("leaf desired: the body is no JSON object")
	}
	return d, nil
}

// Command makes c, a cloud-to-device message of the leaf, one for its translator.
// id is what the [Response] has as correlation. The command's own message id, if it
// has one, becomes its correlation id, unless it has that too.
func (r Route) Command(id string, c iot.Message) iot.Message {
	m := r.down(TypeCommand, c.Body)
	for _, name := range carried {
		m.System.Set(name, c.System.Get(name))
	}
	if m.System.Get(iot.CorrelationID) == "" {
		m.System.Set(iot.CorrelationID, c.System.Get(iot.MessageID))
	}
	m.System.Set(iot.MessageID, id)
	own := m.Properties
	m.Properties = append(own[:len(own):len(own)], withoutNames(c.Properties, own)...)
	return m
}

// carried are a command's system properties that its translator sees.
var carried = []iot.SystemName{iot.CorrelationID, iot.UserID, iot.ContentType, iot.ContentEncoding, iot.ExpiryTime}

// withoutNames returns properties without those that names already has.
func withoutNames(p, names iot.Properties) (kept iot.Properties) {
	for _, v := range p {
		if _, taken := names.Lookup(v.Key); !taken {
			kept = append(kept, v)
		}
	}
	return kept
}

// A State is what the identity module knows of a leaf.
type State string

// The states that translators are told.
const (
	Registered State = "registered"
	Refused    State = "refused"
	Disabled   State = "disabled"
	Deleted    State = "deleted"
)

// State is the message that tells the translator of a leaf's state. The reason is
// for people.
func (r Route) State(s State, reason string) iot.Message {
	m := r.down(TypeState, nil)
	m.Properties.Set(stateProperty, string(s))
	if reason != "" {
		m.Properties.Set(reasonProperty, reason)
	}
	return m
}

// ParseState reads a LeafState.
func ParseState(m *iot.Message) (s State, reason string, err error) {
	text, _ := m.Properties.Lookup(stateProperty)
	reason, _ = m.Properties.Lookup(reasonProperty)
	switch s = State(text); s {
	case Registered, Refused, Disabled, Deleted:
		return s, reason, nil
	}
	return "", "", fmt.Errorf("leaf state: %.50q is no state", text)
}

func (r Route) down(kind string, body []byte) iot.Message {
	m := r.message(kind, body)
	m.System.Set(iot.OutputName, DownOutput)
	return m
}
