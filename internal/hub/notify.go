package hub

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"sluice/internal/hub/storage"
	"sluice/internal/twin"
	"sluice/iot"
)

// Operations on twins, as events name them.
const (
	updateTwin  = "updateTwin"
	replaceTwin = "replaceTwin"
)

// schemas are the values of iothub-message-schema.
var schemas = map[storage.Source]string{
	storage.TwinChange:      "twinChangeNotification",
	storage.Lifecycle:       "deviceLifecycleNotification",
	storage.ConnectionState: "deviceConnectionStateNotification",
}

// notifies reports whether events of this source go to the log.
func (h *Hub) notifies(source storage.Source) bool { return slices.Contains(h.opt.Notify, source) }

// notify stores an event of the hub's own about an identity, with the properties of
// IoT Hub's ("Azure IoT Hub non-telemetry event schemas"). A crash may lose it,
// though not what it tells of.
func (h *Hub) notify(source storage.Source, operation string, id iot.Identity, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		h.opt.Log.Error("an event of the hub could not be written", "identity", id, "err", err)
		return
	}
	m := iot.Message{Body: text}
	m.Stamp(id)
	schema := schemas[source]
	if id.IsModule() && source == storage.Lifecycle {
		schema = "moduleLifecycleNotification"
	}
	for _, p := range []iot.SystemValue{
		{Name: iot.ContentType, Value: "application/json"},
		{Name: iot.ContentEncoding, Value: "utf-8"},
		{Name: iot.CorrelationID, Value: rand.Text()},
		{Name: iot.UserID, Value: h.opt.Hosts[0]},
		{Name: iot.MessageSchema, Value: schema},
	} {
		m.System.Set(p.Name, p.Value)
	}
	m.Properties = iot.Properties{
		{Key: "hubName", Value: h.opt.Hosts[0]},
		{Key: "deviceId", Value: id.Device},
		{Key: "operationTimestamp", Value: h.opt.Now().UTC().Truncate(100).Format(time.RFC3339Nano)},
		{Key: "opType", Value: operation},
	}
	if id.IsModule() {
		m.Properties.Set("moduleId", id.Module)
	}
	generation, _ := h.opt.Registry.Generation(id)
	batch := []iot.Message{m}
	h.enrich(id, generation, batch)
	h.opt.Events.AppendFrom(source, id, batch, func(err error) {
		if err != nil {
			h.opt.Log.Warn("an event of the hub could not be stored", "identity", id, "operation", operation, "err", err)
		}
	})
}

// notifyLifecycle tells of an identity that was registered or deleted, with the
// twin that it begins with or had.
func (h *Hub) notifyLifecycle(c storage.Change) {
	if !h.notifies(storage.Lifecycle) || c.Before != nil && c.After != nil {
		return
	}
	e, operation := c.After, "create"
	if e == nil {
		e, operation = c.Before, "delete"
	}
	kind := "DeviceIdentity"
	if e.Identity.IsModule() {
		kind = "ModuleIdentity"
	}
	t, err := h.opt.Twins.Get(e.Identity, e.GenerationID)
	if err != nil {
		t = twin.New(storage.Born(e.GenerationID))
	}
	body, err := t.Full(h.Owner(e))
	if err != nil {
		h.opt.Log.Error("an event of the hub could not be written", "identity", e.Identity, "err", err)
		return
	}
	h.notify(storage.Lifecycle, operation+kind, e.Identity, body)
}

// notifyConnection tells that an identity came or went. Its number says which of
// two such events was later.
func (h *Hub) notifyConnection(id iot.Identity, operation string) {
	if !h.notifies(storage.ConnectionState) {
		return
	}
	if id.IsModule() {
		operation = "module" + operation[len("device"):]
	}
	number := fmt.Sprintf("%048X", h.connections.Add(1))
	h.notify(storage.ConnectionState, operation, id, map[string]string{"sequenceNumber": number})
}

// notifyTwin tells of a twin that was changed: with what is different, or, if it
// was replaced, with all of it.
func (h *Hub) notifyTwin(operation string, id iot.Identity, before, after twin.Twin) {
	if !h.notifies(storage.TwinChange) {
		return
	}
	body := struct {
		Version    int64                      `json:"version"`
		Tags       json.RawMessage            `json:"tags,omitempty"`
		Properties map[string]json.RawMessage `json:"properties,omitempty"`
	}{after.Version(), nil, map[string]json.RawMessage{}}
	if operation == replaceTwin {
		body.Tags = after.Tags.JSON()
		body.Properties["desired"], body.Properties["reported"] = after.Desired.JSONWithMetadata(), after.Reported.JSONWithMetadata()
		h.notify(storage.TwinChange, operation, id, body)
		return
	}
	if before.Tags.Version() != after.Tags.Version() {
		body.Tags = before.Tags.Diff(after.Tags)
	}
	if before.Desired.Version() != after.Desired.Version() {
		body.Properties["desired"] = after.Desired.Change(before.Desired)
	}
	if before.Reported.Version() != after.Reported.Version() {
		body.Properties["reported"] = after.Reported.Change(before.Reported)
	}
	h.notify(storage.TwinChange, operation, id, body)
}
