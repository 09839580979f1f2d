// Package hubevent is the JSON form of a hub's events, which the hub writes and
// its clients read, one event on a line.
//
// System properties have the names of the Event Hubs-compatible endpoint, so that
// what is written for Azure IoT Hub's events reads these too.
package hubevent

import (
	"encoding/json"
	"mime"
	"strings"
	"time"
	"unicode/utf8"

	"sluice/iot"
)

// An Event is one event of a hub. Exactly one of Body and Binary is set.
type Event struct {
	Partition  int               `json:"partition"`
	Sequence   uint64            `json:"sequenceNumber"`
	Offset     uint64            `json:"offset"`
	Enqueued   time.Time         `json:"enqueuedTime"`
	Source     string            `json:"source"`
	Device     string            `json:"deviceId"`
	Module     string            `json:"moduleId,omitempty"`
	System     map[string]string `json:"systemProperties"`
	Properties map[string]string `json:"properties"`
	Body       json.RawMessage   `json:"body,omitempty"`       // JSON, or a string for other text
	Binary     []byte            `json:"bodyBase64,omitempty"` // what is no text
}

// Fill sets the fields that come from a message.
func (e *Event) Fill(m *iot.Message) {
	sender := m.Sender()
	e.Device, e.Module = sender.Device, sender.Module
	e.System = make(map[string]string, len(m.System))
	for _, v := range m.System {
		if name := annotations[v.Name]; name != "" && v.Value != "" {
			e.System[name] = v.Value
		}
	}
	e.Properties = make(map[string]string, len(m.Properties))
	for _, p := range m.Properties {
		e.Properties[p.Key] = p.Value
	}
	e.SetBody(m.System.Get(iot.ContentType), m.Body)
}

// SetBody sets the body: JSON if it is and says so, else text, else bytes.
func (e *Event) SetBody(contentType string, body []byte) {
	switch {
	case isJSON(contentType) && json.Valid(body):
		e.Body = body
	case len(body) == 0:
		e.Body = json.RawMessage(`""`)
	case utf8.Valid(body):
		e.Body, _ = json.Marshal(string(body)) // a string has a form
	default:
		e.Binary = body
	}
}

func isJSON(contentType string) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && (kind == "application/json" || strings.HasSuffix(kind, "+json"))
}

// Text is the body as text: JSON as it is, a string without its quotes, binary as
// base64.
func (e *Event) Text() string {
	if e.Binary != nil {
		b, _ := json.Marshal(e.Binary) // bytes have a form
		return strings.Trim(string(b), `"`)
	}
	var s string
	if json.Unmarshal(e.Body, &s) == nil {
		return s
	}
	return string(e.Body)
}

var annotations = map[iot.SystemName]string{
	iot.MessageID:                    "message-id",
	iot.CorrelationID:                "correlation-id",
	iot.UserID:                       "user-id",
	iot.To:                           "to",
	iot.ExpiryTime:                   "absolute-expiry-time",
	iot.ContentType:                  "content-type",
	iot.ContentEncoding:              "content-encoding",
	iot.OutputName:                   "iothub-outputname",
	iot.MessageSchema:                "iothub-message-schema",
	iot.CreationTime:                 "iothub-creation-time-utc",
	iot.Operation:                    "iothub-operation",
	iot.InterfaceID:                  "iothub-interface-id",
	iot.ComponentName:                "dt-subject",
	iot.ModelID:                      "dt-dataschema",
	iot.ConnectionDeviceID:           "iothub-connection-device-id",
	iot.ConnectionModuleID:           "iothub-connection-module-id",
	iot.ConnectionDeviceGenerationID: "iothub-connection-auth-generation-id",
	iot.ConnectionAuthMethod:         "iothub-connection-auth-method",
}
