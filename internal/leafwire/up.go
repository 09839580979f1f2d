package leafwire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"sluice/iot"
)

// A Route names a leaf and the translator that speaks for it. Every message
// between translator and identity module has one.
type Route struct {
	Leaf   string // the leaf's device id
	Module string // the translator's module id
}

// message begins a message of a type, "" for telemetry.
func (r Route) message(kind string, body []byte) iot.Message {
	m := iot.Message{Body: body}
	m.Properties.Set(LeafProperty, r.Leaf)
	m.Properties.Set(ModuleProperty, r.Module)
	if kind != "" {
		m.Properties.Set(TypeProperty, kind)
	}
	return m
}

// RouteOf reads whom a message is of or for. The ids are not validated.
func RouteOf(m *iot.Message) (r Route, err error) {
	var found bool
	if r.Leaf, found, err = Leaf(m); err == nil && !found {
		err = fmt.Errorf("property %s is missing", LeafProperty)
	}
	if err == nil {
		r.Module, err = Module(m)
	}
	return r, err
}

// Telemetry makes m, a leaf's own message, one for the identity module.
func (r Route) Telemetry(m iot.Message) iot.Message {
	m.Properties = append(iot.Properties{{Key: LeafProperty, Value: r.Leaf}, {Key: ModuleProperty, Value: r.Module}}, Strip(m.Properties)...)
	return m
}

// Hello is what a leaf supports.
type Hello struct {
	Methods  bool `json:"methods"`
	Desired  bool `json:"desired"`
	Commands bool `json:"commands"`
}

// Hello is the message that says h.
func (r Route) Hello(h Hello) iot.Message { return r.json(TypeHello, encode(h)) }

// ParseHello reads the body of a LeafHello. What it does not mention is not
// supported.
func ParseHello(body []byte) (h Hello, err error) {
	if err := json.Unmarshal(body, &h); err != nil {
		return Hello{}, fmt.Errorf("leaf hello: %w", err)
	}
	return h, nil
}

// Reported is the message that patches the leaf's reported properties.
func (r Route) Reported(patch json.RawMessage) iot.Message { return r.json(TypeReported, patch) }

// ParseReported reads the body of a LeafReported: it must be a JSON object.
func ParseReported(body []byte) (json.RawMessage, error) {
	if !json.Valid(body) || !bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")) {
		return nil, fmt.Errorf("leaf reported: the body is no JSON object")
	}
	return json.RawMessage(body), nil
}

// Gone is the message that retires the leaf; operation is [Disable] or [Delete].
func (r Route) Gone(operation Operation) iot.Message {
	return r.json(TypeGone, encode(gone{operation}))
}

type gone struct {
	Operation Operation `json:"operation"`
}

// ParseGone reads the body of a LeafGone.
func ParseGone(body []byte) (Operation, error) {
	var g gone
	if err := json.Unmarshal(body, &g); err != nil {
		return "", fmt.Errorf("leaf gone: %w", err)
	}
	if g.Operation != Disable && g.Operation != Delete {
		return "", fmt.Errorf("leaf gone: the operation is %q, not disable or delete", g.Operation)
	}
	return g.Operation, nil
}

// Response answers a [Method] or a [Command]; which of them says its correlation
// id, the request's message id.
type Response struct {
	Correlation string
	Status      int             // of a method
	Payload     json.RawMessage // of a method; nil for none
	Settle      iot.Outcome     // of a command
}

// outcomes are the outcomes of a command on the wire.
var outcomes = map[iot.Outcome]string{iot.Complete: "complete", iot.Abandon: "abandon", iot.Reject: "reject"}

// Response is the message that carries a.
func (r Route) Response(a Response) iot.Message {
	m := r.json(TypeResponse, a.Payload)
	m.System.Set(iot.CorrelationID, a.Correlation)
	if settle := outcomes[a.Settle]; settle != "" {
		m.Properties.Set(settleProperty, settle)
	} else {
		m.Properties.Set(statusProperty, strconv.Itoa(a.Status))
	}
	return m
}

// ParseResponse reads a LeafResponse.
func ParseResponse(m *iot.Message) (a Response, err error) {
	if a.Correlation = m.System.Get(iot.CorrelationID); a.Correlation == "" {
		return a, fmt.Errorf("leaf response: no correlation id")
	}
	if settle, ok := m.Properties.Lookup(settleProperty); ok {
		for outcome, name := range outcomes {
			if strings.EqualFold(settle, name) {
				a.Settle = outcome
				return a, nil
			}
		}
		return a, fmt.Errorf("leaf response: settle is %.50q, not complete, abandon or reject", settle)
	}
	status, _ := m.Properties.Lookup(statusProperty)
	if a.Status, err = strconv.Atoi(status); err != nil {
		return a, fmt.Errorf("leaf response: status is %.50q, not a number", status)
	}
	if len(m.Body) > 0 {
		if !json.Valid(m.Body) {
			return a, fmt.Errorf("leaf response: the body is no JSON")
		}
		a.Payload = json.RawMessage(m.Body)
	}
	return a, nil
}

func (r Route) json(kind string, body []byte) iot.Message {
	m := r.message(kind, body)
	setJSON(&m)
	return m
}
