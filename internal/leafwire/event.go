package leafwire

import (
	"encoding/json"
	"fmt"
	"strings"

	"sluice/iot"
)

// Operation is what a LeafEvent asks for.
type Operation string

// The operations.
const (
	Create  Operation = "create"
	Disable Operation = "disable"
	Delete  Operation = "delete"
)

// UnmarshalText reads an operation in any case.
func (o *Operation) UnmarshalText(b []byte) error {
	switch got := Operation(strings.ToLower(string(b))); got {
	case Create, Disable, Delete:
		*o = got
		return nil
	}
	return fmt.Errorf("%.50q is no operation", b)
}

// Event is the body of a LeafEvent: the identity module EdgeModuleID of the edge
// device EdgeDeviceID asks the provisioning service for an operation on a leaf.
type Event struct {
	HubHostname  string    `json:"hubHostname"`
	LeafDeviceID string    `json:"leafDeviceId"`
	EdgeDeviceID string    `json:"edgeDeviceId"`
	EdgeModuleID string    `json:"edgeModuleId"`
	Operation    Operation `json:"operation"`
}

// Message is the message that carries e.
func (e Event) Message() iot.Message {
	m := iot.Message{Body: encode(e)}
	m.System.Set(iot.OutputName, Output)
	setJSON(&m)
	m.Properties.Set(TypeProperty, TypeEvent)
	return m
}

// ParseEvent reads the body of a LeafEvent. Names of fields are read in any case,
// and fields that are not known are ignored. The ids are validated; whether the
// sender may speak for the edge device and module is for the caller to check.
func ParseEvent(body []byte) (Event, error) {
	var e Event
	if err := json.Unmarshal(body, &e); err != nil {
		return Event{}, fmt.Errorf("leaf event: %w", err)
	}
	for _, id := range []struct{ name, value string }{{"edgeDeviceId", e.EdgeDeviceID}, {"edgeModuleId", e.EdgeModuleID}} {
		if err := iot.ValidateID(id.value); err != nil {
			return Event{}, fmt.Errorf("leaf event: %s %.150q %w", id.name, id.value, err)
		}
	}
	if err := ValidateLeaf(e.LeafDeviceID, e.EdgeDeviceID); err != nil {
		return Event{}, fmt.Errorf("leaf event: leafDeviceId %.150q %w", e.LeafDeviceID, err)
	}
	if e.Operation == "" {
		return Event{}, fmt.Errorf("leaf event: no operation")
	}
	return e, nil
}

// Callback is the payload of [CallbackMethod]: what the provisioning service did
// about a leaf. ResultCode is that of HTTP: 200 and 201 are success; 400, 401, 403
// and 404 a refusal; others failures that may pass.
type Callback struct {
	DeviceID    string
	ResultCode  int
	Description string

	// Operation is what was asked for; "" if the service does not say, as the
	// sample does not.
	Operation Operation
}

// callback is a Callback on the wire. The sample writes ResultDescriptionn, and
// its module reads ResultDescription: both are written and read.
type callback struct {
	DeviceID           string `json:"DeviceId"`
	ResultCode         int
	ResultDescription  string
	ResultDescriptionn string    `json:",omitempty"`
	Operation          Operation `json:",omitempty"`
}

// Payload is the payload that carries c.
func (c Callback) Payload() json.RawMessage {
	return encode(callback{DeviceID: c.DeviceID, ResultCode: c.ResultCode, ResultDescription: c.Description, Operation: c.Operation})
}

// ParseCallback reads the payload of [CallbackMethod]. Names of fields are read in
// any case, and fields that are not known are ignored. The id is not validated.
func ParseCallback(payload []byte) (Callback, error) {
	var c callback
	if err := json.Unmarshal(payload, &c); err != nil {
		return Callback{}, fmt.Errorf("callback: %w", err)
	}
	if c.DeviceID == "" || c.ResultCode == 0 {
		return Callback{}, fmt.Errorf("callback: DeviceId or ResultCode is missing")
	}
	if c.ResultDescription == "" {
		c.ResultDescription = c.ResultDescriptionn
	}
	return Callback{DeviceID: c.DeviceID, ResultCode: c.ResultCode, Description: c.ResultDescription, Operation: c.Operation}, nil
}

// Succeeded reports whether the operation was done.
func (c Callback) Succeeded() bool { return c.ResultCode >= 200 && c.ResultCode < 300 }

// Refused reports whether the operation will not be done, however often it is
// asked for.
func (c Callback) Refused() bool {
	switch c.ResultCode {
	case 400, 401, 403, 404:
		return true
	}
	return false
}

// encode writes JSON of what always can be written.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("leafwire: " + err.Error()) // plain structs of ours
	}
	return b
}

func setJSON(m *iot.Message) {
	m.System.Set(iot.ContentType, "application/json")
	m.System.Set(iot.ContentEncoding, "utf-8")
}
