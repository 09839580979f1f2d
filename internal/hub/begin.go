package hub

import (
	"encoding/json"
	"time"

	"sluice/internal/hub/storage"
	"sluice/internal/twin"
	"sluice/iot"
)

// A FirstTwin is what the twin of an identity that was just registered begins
// with.
type FirstTwin struct {
	Identity iot.Identity
	Change   json.RawMessage // tags and desired properties, as for PatchTwin; nil for none
	Reported json.RawMessage // nil for none
}

// Make is the twin that t becomes. Errors are those of [twin.Twin.Patch].
func (f *FirstTwin) Make(t twin.Twin, now time.Time) (twin.Twin, error) {
	var err error
	if f.Change != nil {
		t, err = t.Patch(f.Change, now)
	}
	if err == nil && f.Reported != nil {
		t, err = t.Report(f.Reported, now)
	}
	return t, err
}

// BeginTwins gives new identities their twins, all of them or none.
func (h *Hub) BeginTwins(list []FirstTwin) error {
	begin := make([]storage.Beginning, len(list))
	for i := range list {
		e, err := h.entry("twin", list[i].Identity)
		if err != nil {
			return err
		}
		begin[i] = storage.Beginning{Identity: e.Identity, Generation: e.GenerationID, Make: list[i].Make}
	}
	if len(begin) == 0 {
		return nil
	}
	if err := h.opt.Twins.Begin(begin); err != nil {
		return err
	}
	for i := range list {
		h.touch(list[i].Identity)
	}
	return nil
}
