package rest

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"sluice/internal/hub"
	"sluice/internal/hub/code"
	"sluice/internal/hub/storage"
	"sluice/internal/service"
	"sluice/internal/twin"
	"sluice/iot"
)

// Of one bulk request: identities, as in IoT Hub, and bytes.
const (
	maxBulk     = 100
	maxBulkBody = 1 << 20
)

func (a *api) bulkRoutes() []route {
	return []route{
		{method: http.MethodPost, path: "/devices", right: storage.RegistryRead | storage.RegistryWrite, handle: bulk},
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
// any of them: with two synced writes rather than a hundred.
func (a *api) createAll(items []wanted) bool {
	entries := make([]storage.Entry, len(items))
	var twins []hub.FirstTwin
	for i := range items {
		w := &items[i]
		e, err := w.entry(w.identity(), nil)
		first, some, twinErr := a.firstTwin(w, w.identity())
		if mode, _ := w.mode(); errors.Join(err, twinErr) != nil || mode != "create" {
			return false
		}
		entries[i] = e
		if some {
			twins = append(twins, first)
		}
	}
	if _, err := a.Registry.Create(entries...); err != nil {
		return false
	}
	if len(twins) == 0 {
		return true
	}
	// If this fails, the items are tried one by one, and are said to exist.
	return a.Hub.BeginTwins(twins) == nil
}

// one does what one item wants.
func (a *api) one(w *wanted, id iot.Identity) error {
	if err := id.Validate(); err != nil {
		return code.Errorf(code.ArgumentInvalid, "bulk", iot.Identity{}, "%v", err)
	}
	_, exists := a.Registry.Get(id)
	mode, etag := w.mode()
	switch {
	case mode == "create", mode == "createorupdate" && !exists:
		return a.createOne(w, id)
	case mode == "updatetwin":
		return a.updateTwin(w, id)
	case etag == "":
		// To the registry, no tag would mean any.
		return code.Errorf(code.PreconditionFailed, "bulk", id, "importMode %s needs the entity tag, and there is none", w.ImportMode)
	case mode == "update", mode == "createorupdate":
		return a.updateOne(w, id, etag)
	case mode == "delete":
		return a.Registry.Delete(id, etag)
	}
	return code.Errorf(code.ArgumentInvalid, "bulk", id, "importMode %q is not one of a bulk request", w.ImportMode)
}

// createOne creates an identity with its twin, if there is nothing wrong with
// either.
func (a *api) createOne(w *wanted, id iot.Identity) error {
	first, some, err := a.firstTwin(w, id)
	if err != nil {
		return err
	}
	if _, err := a.create(w, id); err != nil || !some {
		return err
	}
	return a.Hub.BeginTwins([]hub.FirstTwin{first})
}

// updateOne changes an identity and then, if the item says something about it, its
// twin.
func (a *api) updateOne(w *wanted, id iot.Identity, etag string) error {
	first, some, err := a.firstTwin(w, id)
	if err != nil {
		return err
	}
	if first.Reported != nil {
		return code.Errorf(code.InvalidOperation, "bulk", id, "reported properties are the device's own: they can be set when it is created")
	}
	if _, err := a.update(w, id, etag); err != nil || !some {
		return err
	}
	_, err = a.Hub.PatchTwin(id, first.Change, "")
	return err
}

// updateTwin merges what an item says into the twin of an identity.
func (a *api) updateTwin(w *wanted, id iot.Identity) error {
	first, some, err := a.firstTwin(w, id)
	etag := storage.Any
	if strings.HasSuffix(strings.ToLower(w.ImportMode), conditionalMode) {
		etag = strings.Trim(w.TwinETag, `"`)
	}
	switch {
	case err != nil:
		return err
	case first.Reported != nil:
		return code.Errorf(code.InvalidOperation, "bulk", id, "reported properties are the device's own: they can be set when it is created")
	case etag == "":
		return code.Errorf(code.PreconditionFailed, "bulk", id, "importMode %s needs the twinETag, and there is none", w.ImportMode)
	case !some:
		return nil
	}
	_, err = a.Hub.PatchTwin(id, first.Change, etag)
	return err
}

// conditionalMode ends an import mode that names an entity tag.
const conditionalMode = "ifmatchetag"

// mode is what an item wants, in lower case and without a condition, and the
// entity tag that it wants it for.
func (w *wanted) mode() (mode, etag string) {
	mode = strings.ToLower(w.ImportMode)
	if mode == "" {
		mode = "create"
	}
	mode, conditional := strings.CutSuffix(mode, conditionalMode)
	if !conditional {
		return mode, storage.Any
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

// firstTwin is what an item says about its twin; some is false if that is nothing.
// The error is that of a twin which cannot be.
func (a *api) firstTwin(w *wanted, id iot.Identity) (first hub.FirstTwin, some bool, err error) {
	first.Identity = id
	if len(w.Tags) > 0 || len(w.Properties.Desired) > 0 {
		var change struct {
			Tags       map[string]json.RawMessage `json:"tags,omitempty"`
			Properties struct {
				Desired map[string]json.RawMessage `json:"desired,omitempty"`
			} `json:"properties"`
		}
		change.Tags, change.Properties.Desired = w.Tags, w.Properties.Desired
		if first.Change, err = json.Marshal(change); err != nil {
			return first, true, err
		}
	}
	if len(w.Properties.Reported) > 0 {
		if first.Reported, err = json.Marshal(w.Properties.Reported); err != nil {
			return first, true, err
		}
	}
	some = first.Change != nil || first.Reported != nil
	if _, alone := a.Hub.(empty); alone && some {
		return first, some, code.Errorf(code.InvalidOperation, "bulk", id, "this hub keeps no twins")
	}
	_, err = first.Make(twin.New(a.Now()), a.Now())
	return first, some, err
}
