package rest

import (
	"encoding/json"
	"net/http"
	"strings"

	"sluice/internal/hub/code"
	"sluice/internal/hub/registry"
	"sluice/internal/service"
	"sluice/iot"
)

// Of one bulk request: identities, as in IoT Hub, and bytes.
const (
	maxBulk     = 100
	maxBulkBody = 1 << 20
)

func (a *api) bulkRoutes() []route {
	return []route{
		{method: http.MethodPost, path: "/devices", right: registry.RegistryRead | registry.RegistryWrite, handle: bulk},
	}
}

// bulk creates, changes or deletes up to 100 identities, each for itself: what is
// wrong with some does not stop the others, and is answered one by one, with the
// status 400 for all.
func bulk(c *call) (answer, error) {
	var items []wanted
	if err := c.read(maxBulkBody, &items); err != nil {
		return answer{}, err
	}
	if len(items) == 0 || len(items) > maxBulk {
		return answer{}, code.Errorf(code.ArgumentInvalid, "bulk", iot.Identity{}, "the list has %d identities; it may have 1 to %d", len(items), maxBulk)
	}
	result := c.bulk(items)
	if result.IsSuccessful {
		return answer{body: result}, nil
	}
	header := http.Header{}
	header.Set("iothub-errorcode", code.BulkRegistryFailure.String())
	return answer{status: code.BulkRegistryFailure.Status(), body: result, header: header}, nil
}

func (a *api) bulk(items []wanted) service.BulkResult {
	result := service.BulkResult{IsSuccessful: true, Errors: []service.BulkError{}, Warnings: []service.BulkError{}}
	if a.createAll(items) {
		return result
	}
	seen := make(map[iot.Identity]bool, len(items))
	for i := range items {
		w := &items[i]
		id := w.identity()
		var err error
		if seen[id] {
			err = code.Errorf(code.DeviceDefinedMultipleTimes, "bulk", id, "it is in the list more than once")
		} else {
			err = a.one(w, id)
		}
		seen[id] = true
		if err != nil {
			result.IsSuccessful = false
			result.Errors = append(result.Errors, bulkError(id, err))
		}
	}
	return result
}

func bulkError(id iot.Identity, err error) service.BulkError {
	what := code.Of(err)
	return service.BulkError{
		DeviceID: id.Device, ModuleID: id.Module, ErrorCode: what.String(), ErrorStatus: publicText(what, err),
	}
}

// createAll creates all items if that is what is wanted and nothing is wrong with
// any of them: with one synced write rather than a hundred.
func (a *api) createAll(items []wanted) bool {
	entries := make([]registry.Entry, len(items))
	for i := range items {
		w := &items[i]
		e, err := w.entry(w.identity(), nil)
		if mode, _ := w.mode(); err != nil || mode != "create" || w.hasTwin() {
			return false
		}
		entries[i] = e
	}
	_, err := a.Registry.Create(entries...)
	return err == nil
}

// one does what one item wants.
func (a *api) one(w *wanted, id iot.Identity) error {
	if err := id.Validate(); err != nil {
		return code.Errorf(code.ArgumentInvalid, "bulk", iot.Identity{}, "%v", err)
	}
	if w.hasTwin() {
		return code.Errorf(code.InvalidOperation, "bulk", id, "tags and properties cannot be set here")
	}
	_, exists := a.Registry.Get(id)
	mode, etag := w.mode()
	var err error
	switch {
	case mode == "create", mode == "createorupdate" && !exists:
		_, err = a.create(w, id)
	case etag == "":
		// To the registry, no tag would mean any.
		err = code.Errorf(code.PreconditionFailed, "bulk", id, "importMode %s needs the entity tag, and there is none", w.ImportMode)
	case mode == "update", mode == "createorupdate":
		_, err = a.update(w, id, etag)
	case mode == "delete":
		err = a.Registry.Delete(id, etag)
	default:
		err = code.Errorf(code.ArgumentInvalid, "bulk", id, "importMode %q is not one of a bulk request", w.ImportMode)
	}
	return err
}

// mode is what an item wants, in lower case and without a condition, and the
// entity tag that it wants it for.
func (w *wanted) mode() (mode, etag string) {
	mode = strings.ToLower(w.ImportMode)
	if mode == "" {
		mode = "create"
	}
	mode, conditional := strings.CutSuffix(mode, "ifmatchetag")
	if !conditional {
		return mode, registry.Any
	}
	return mode, strings.Trim(w.ETag, `"`)
}

// identity is the one that an item of a bulk request is about.
func (w *wanted) identity() iot.Identity {
	if w.ID == "" {
		return iot.Identity{Device: w.DeviceID, Module: w.ModuleID}
	}
	return iot.Identity{Device: w.ID, Module: w.ModuleID}
}

// hasTwin reports whether an item says anything about its twin.
func (w *wanted) hasTwin() bool {
	var p struct{ Desired, Reported map[string]json.RawMessage }
	if len(w.Properties) > 0 && json.Unmarshal(w.Properties, &p) != nil {
		return true
	}
	return len(w.Tags) > 0 || len(p.Desired) > 0 || len(p.Reported) > 0
}
