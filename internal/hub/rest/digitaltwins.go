package rest

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/internal/hub/code"
	"sluice/internal/hub/storage"
	"sluice/internal/twin"
	"sluice/iot"
)

// Digital twins are twins and direct methods in the words of IoT Plug and Play. A
// component is an object that is marked as one; its commands are methods named
// component*command. Nothing is checked against a model.
func (a *api) digitalTwinRoutes(h Hub) []route {
	if _, alone := h.(empty); alone {
		return nil
	}
	const path = "/digitaltwins/{device}"
	return []route{
		{method: http.MethodGet, path: path, right: storage.ServiceConnect, handle: getDigitalTwin},
		{method: http.MethodPatch, path: path, right: storage.ServiceConnect, handle: patchDigitalTwin},
		{method: http.MethodPost, path: path + "/commands/{command}", right: storage.ServiceConnect, handle: invokeCommand},
		{method: http.MethodPost, path: path + "/components/{component}/commands/{command}", right: storage.ServiceConnect, handle: invokeCommand},
	}
}

// object is a JSON object, decoded as far as is needed.
type object map[string]json.RawMessage

// objectOf is value as an object, or nil if it is something else.
func objectOf(value json.RawMessage) (o object) {
	if json.Unmarshal(value, &o) != nil {
		return nil
	}
	return o
}

// isComponent reports whether an object is marked as a component.
func (o object) isComponent() bool { return string(o[componentMark]) == `"c"` }

const componentMark = "__t"

func getDigitalTwin(c *call) (answer, error) {
	id, err := c.identity()
	if err != nil {
		return answer{}, err
	}
	t, err := c.Hub.Twin(id)
	if err != nil {
		return answer{}, err
	}
	e, ok := c.Registry.Get(id)
	if !ok {
		return answer{}, code.Errorf(code.DeviceNotFound, "twin", id, "it was deleted meanwhile")
	}
	body := digitalTwin(&t)
	body["$dtId"] = id.Device
	body["$metadata"].(map[string]any)["$model"] = c.Hub.Owner(&e).ModelID //nolint:forcetypeassert // was just made
	return answer{etag: t.ETag(), body: body}, nil
}

func digitalTwin(t *twin.Twin) map[string]any {
	desired, reported := objectOf(t.Desired.JSONWithMetadata()), objectOf(t.Reported.JSONWithMetadata())
	return component(side{desired, objectOf(desired["$metadata"])}, side{reported, objectOf(reported["$metadata"])}, t.Desired.Version())
}

// A side is the desired or the reported half of a component.
type side struct{ values, metadata object }

// below is the half of a component in this one.
func (s side) below(name string) side {
	return side{objectOf(s.values[name]), objectOf(s.metadata[name])}
}

// lastUpdate is when a property was set, or nil.
func (s side) lastUpdate(name string) json.RawMessage {
	return objectOf(s.metadata[name])["$lastUpdated"]
}

// component is what the service shows of a component, or of the whole twin.
func component(desired, reported side, version int64) map[string]any {
	metadata := map[string]any{}
	shown := map[string]any{"$metadata": metadata}
	names := slices.Sorted(maps.Keys(desired.values))
	names = append(names, slices.Sorted(maps.Keys(reported.values))...)
	for _, name := range names {
		d, r := desired.below(name), reported.below(name)
		switch {
		case strings.HasPrefix(name, "$") || name == componentMark:
		case d.values.isComponent() || r.values.isComponent():
			shown[name] = component(d, r, version)
		default:
			if value, ok := reported.values[name]; ok {
				shown[name] = acknowledged(value)
			}
			metadata[name] = propertyMetadata(name, desired, reported, version)
		}
	}
	return shown
}

// acknowledged is the value of a property that a device reports, perhaps with its
// answer to what was desired: {"value", "ac", "av", "ad"}.
func acknowledged(value json.RawMessage) json.RawMessage {
	if o := objectOf(value); o["value"] != nil && o["ac"] != nil && o["av"] != nil {
		return o["value"]
	}
	return value
}

func propertyMetadata(name string, desired, reported side, version int64) map[string]any {
	m := map[string]any{}
	if at := reported.lastUpdate(name); at != nil {
		m["lastUpdateTime"] = at
	} else if at := desired.lastUpdate(name); at != nil {
		m["lastUpdateTime"] = at
	}
	if value, ok := desired.values[name]; ok {
		m["desiredValue"], m["desiredVersion"] = value, version
	}
	if o := objectOf(reported.values[name]); o["value"] != nil {
		for short, long := range map[string]string{"ac": "ackCode", "av": "ackVersion", "ad": "ackDescription"} {
			if o[short] != nil {
				m[long] = o[short]
			}
		}
	}
	return m
}

// A jsonPatch is one operation of RFC 6902.
type jsonPatch struct {
	Op    string          `json:"op"`
	Path  string          `json:"path"`
	Value json.RawMessage `json:"value"`
}

// maxOperations bounds a patch of a digital twin.
const maxOperations = 1000

// patchDigitalTwin sets desired properties.
func patchDigitalTwin(c *call) (answer, error) {
	id, err := c.identity()
	if err != nil {
		return answer{}, err
	}
	var operations []jsonPatch
	if err := c.read(maxTwin, &operations); err != nil {
		return answer{}, err
	}
	if len(operations) > maxOperations {
		return answer{}, invalidPatch(id, "the patch has %d operations; at most %d", len(operations), maxOperations)
	}
	etag, _ := c.ifMatch()
	t, err := c.Hub.Twin(id)
	if err != nil {
		return answer{}, err
	}
	known := digitalTwin(&t)
	for _, op := range operations { // all are looked at before any is applied
		if _, err := op.desired(id, known); err != nil {
			return answer{}, err
		}
	}
	var desired json.RawMessage = []byte("{}")
	for _, op := range operations {
		patch, _ := op.desired(id, known) // was made before
		joined, ok, err := twin.Join(desired, patch)
		if err != nil || !ok {
			return answer{}, invalidPatch(id, "the operations cannot be applied together")
		}
		desired = joined
	}
	body, err := json.Marshal(map[string]any{"properties": map[string]any{"desired": desired}})
	if err != nil {
		return answer{}, err
	}
	if t, err = c.Hub.PatchTwin(id, body, etag); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusAccepted, etag: t.ETag(), header: http.Header{"Location": {c.r.URL.String()}}}, nil
}

func invalidPatch(id iot.Identity, format string, args ...any) error {
	return code.Errorf(code.ArgumentInvalid, "twin", id, format, args...)
}

var unescapePointer = strings.NewReplacer("~1", "/", "~0", "~")

// desired is the operation as a patch of desired properties. What is known of the twin
// tells components from properties.
func (op *jsonPatch) desired(id iot.Identity, known map[string]any) (json.RawMessage, error) {
	path := strings.Split(strings.TrimPrefix(op.Path, "/"), "/")
	for i := range path {
		path[i] = unescapePointer.Replace(path[i])
		if path[i] == "" || strings.HasPrefix(path[i], "$") || !strings.HasPrefix(op.Path, "/") {
			return nil, invalidPatch(id, "%.300q is no path of a property", op.Path)
		}
	}
	var value any
	switch strings.ToLower(op.Op) {
	case "add", "replace":
		if value = op.Value; op.Value == nil {
			return nil, invalidPatch(id, "the operation on %.300q has no value", op.Path)
		}
		if o := objectOf(op.Value); len(path) == 1 && o["$metadata"] != nil { // a component
			delete(o, "$metadata")
			o[componentMark] = json.RawMessage(`"c"`)
			value = o
		}
	case "remove":
	default:
		return nil, invalidPatch(id, "op %.40q: it is add, replace or remove", op.Op)
	}
	for i := len(path) - 1; i >= 0; i-- {
		outer := map[string]any{path[i]: value}
		if _, property := known["$metadata"].(map[string]any)[path[0]]; i == 1 && !property {
			outer[componentMark] = "c"
		}
		value = outer
	}
	return json.Marshal(value)
}

// invokeCommand calls the method that a command is.
func invokeCommand(c *call) (answer, error) {
	id, err := c.identity()
	if err != nil {
		return answer{}, err
	}
	m := iot.MethodCall{Name: c.vars["command"]}
	if name := c.vars["component"]; name != "" {
		m.Name = name + "*" + m.Name
	}
	if m.ResponseTimeout, err = c.seconds("responseTimeoutInSeconds"); err != nil {
		return answer{}, err
	}
	if m.ConnectTimeout, err = c.seconds("connectTimeoutInSeconds"); err != nil {
		return answer{}, err
	}
	if c.r.ContentLength != 0 {
		if err := c.read(maxMethod, &m.Payload); err != nil {
			return answer{}, err
		}
	}
	if len(m.Payload) > maxPayload {
		return answer{}, code.Errorf(code.MessageTooLarge, "method", id, "the payload has %d bytes; the limit is %d", len(m.Payload), maxPayload)
	}
	result, err := c.Hub.InvokeMethod(c.r.Context(), id, m)
	if err != nil {
		return answer{}, err
	}
	if !json.Valid(result.Payload) {
		result.Payload = json.RawMessage("null")
	}
	header := http.Header{}
	header.Set("x-ms-command-statuscode", strconv.Itoa(result.Status))
	header.Set("x-ms-request-id", newTrackingID())
	return answer{body: result.Payload, header: header}, nil
}

// seconds is a time in the query; 0 if it is not there.
func (c *call) seconds(name string) (time.Duration, error) {
	text := c.r.URL.Query().Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > 3600 { // the hub's own limits are lower
		return 0, code.Errorf(code.ArgumentInvalid, "method", iot.Identity{}, "%s is not a number of seconds, up to 300", name)
	}
	return time.Duration(n) * time.Second, nil
}
