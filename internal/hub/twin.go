package hub

import (
	"encoding/json"
	"time"

	"sluice/internal/hub/code"
	"sluice/internal/hub/storage"
	"sluice/internal/twin"
	"sluice/iot"
)

// entry finds what is registered of an identity.
func (h *Hub) entry(op string, id iot.Identity) (storage.Entry, error) {
	e, ok := h.opt.Registry.Get(id)
	switch {
	case ok:
		return e, nil
	case id.IsModule():
		return e, code.Errorf(code.ModuleNotFound, op, id, "module '%s' is not registered on device '%s'", id.Module, id.Device)
	}
	return e, code.Errorf(code.DeviceNotFound, op, id, "device '%s' is not registered", id.Device)
}

// Twin returns the twin of an identity.
func (h *Hub) Twin(id iot.Identity) (twin.Twin, error) {
	e, err := h.entry("twin", id)
	if err != nil {
		return twin.Twin{}, err
	}
	return h.opt.Twins.Get(id, e.GenerationID)
}

// PatchTwin merges the service's patch, {"tags":…,"properties":{"desired":…}},
// into a twin whose etag is ifMatch; "" and "*" match every one.
func (h *Hub) PatchTwin(id iot.Identity, patch json.RawMessage, ifMatch string) (twin.Twin, error) {
	return h.changeTwin(id, ifMatch, updateTwin, func(t twin.Twin, now time.Time) (twin.Twin, error) { return t.Patch(patch, now) })
}

// ReplaceTwin makes the service's document the tags and desired properties of a
// twin whose etag is ifMatch; "" and "*" match every one.
func (h *Hub) ReplaceTwin(id iot.Identity, body json.RawMessage, ifMatch string) (twin.Twin, error) {
	return h.changeTwin(id, ifMatch, replaceTwin, func(t twin.Twin, now time.Time) (twin.Twin, error) { return t.Replace(body, now) })
}

func (h *Hub) changeTwin(id iot.Identity, ifMatch, operation string, change func(twin.Twin, time.Time) (twin.Twin, error)) (twin.Twin, error) {
	e, err := h.entry("twin", id)
	if err != nil {
		return twin.Twin{}, err
	}
	var before twin.Twin
	matched := func(t twin.Twin, now time.Time) (twin.Twin, error) {
		if ifMatch != "" && ifMatch != storage.Any && ifMatch != t.ETag() {
			return t, code.Errorf(code.PreconditionFailed, "twin", id, "the etag is no longer %q: the twin was changed meanwhile", ifMatch)
		}
		before = t
		return change(t, now)
	}
	return h.opt.Twins.Update(id, e.GenerationID, matched, func(after twin.Twin) {
		h.tellDesired(id, before.Desired, after.Desired)
		h.touch(id)
		h.notifyTwin(operation, id, before, after)
	})
}

// tellDesired sends a connected device what changed, with the new $version.
func (h *Hub) tellDesired(id iot.Identity, before, after twin.Document) {
	s, ok := h.sessions.Get(id)
	if !ok || before.Version() == after.Version() {
		return
	}
	s.desiredChanged(after.Change(before))
}
