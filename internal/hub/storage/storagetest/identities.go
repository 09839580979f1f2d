package storagetest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"sluice/internal/hub/code"
	"sluice/internal/hub/storage"
	"sluice/iot"
)

func entry(id iot.Identity) storage.Entry {
	var e storage.Entry
	e.Identity, e.Enabled = id, true
	return e
}

// Identities tests an implementation of [storage.Identities].
func Identities(t *testing.T, start Start[storage.Identities]) {
	pump, valve := iot.DeviceIdentity("pump"), iot.DeviceIdentity("valve")
	module := iot.ModuleIdentity("pump", "m")
	t.Run("changes are durable when watchers hear of them, in order", func(t *testing.T) {
		s, powerCut := start(t)
		var heard []string
		stop := s.Watch(func(changes []storage.Change) {
			then := powerCut()
			for _, c := range changes {
				now, there := s.Get(c.Identity())
				durable, kept := then.Get(c.Identity())
				if there != (c.After != nil) || kept != there || there && (now.ETag != c.After.ETag || durable.ETag != now.ETag) {
					t.Errorf("%s: readers see %v, and a power cut leaves %v", c.Identity(), there, kept)
				}
				heard = append(heard, fmt.Sprintf("%s:%v:%v", c.Identity(), c.Before != nil, c.After != nil))
			}
		})
		created, err := s.Create(entry(pump), entry(module))
		must(t, err)
		_, err = s.Update(created[0], created[0].ETag)
		must(t, err)
		must(t, s.Delete(pump, storage.Any))
		stop()
		_, err = s.Create(entry(pump))
		must(t, err)
		if got := strings.Join(heard[:3], " "); got != "pump:false:true pump/m:false:true pump:true:true" || len(heard) != 5 {
			t.Errorf("heard %q", heard)
		}
	})
	t.Run("many are created together or not at all", func(t *testing.T) {
		s, powerCut := start(t)
		_, err := s.Create(entry(valve))
		must(t, err)
		if _, err = s.Create(entry(pump), entry(valve)); !errors.Is(err, code.DeviceAlreadyExists) {
			t.Errorf("it failed with %v", err)
		}
		for _, s := range []storage.Identities{s, powerCut()} {
			if n := s.Counts().Devices; n != 1 {
				t.Errorf("there are %d devices, want 1", n)
			}
		}
	})
	t.Run("entity tags and generations tell changes apart", func(t *testing.T) {
		s, _ := start(t)
		first, err := s.Create(entry(pump))
		must(t, err)
		second, err := s.Update(first[0], first[0].ETag)
		must(t, err)
		if _, err := s.Update(first[0], first[0].ETag); !errors.Is(err, code.PreconditionFailed) || second.ETag == first[0].ETag {
			t.Errorf("an update with an old tag: %v", err)
		}
		must(t, s.SetModel(pump, second.GenerationID, "dtmi:a;1"))
		if e, _ := s.Get(pump); e.ModelID != "dtmi:a;1" || e.ETag != second.ETag || e.GenerationID != first[0].GenerationID {
			t.Errorf("after its model was noted it is %+v", e)
		}
		must(t, s.Delete(pump, second.ETag))
		if err := s.Delete(pump, storage.Any); !errors.Is(err, code.DeviceNotFound) {
			t.Errorf("deleted twice: %v", err)
		}
		again, err := s.Create(entry(pump))
		must(t, err)
		if again[0].GenerationID == second.GenerationID || storage.Born(again[0].GenerationID).IsZero() {
			t.Errorf("made again it has the generation %s; before it was %s", again[0].GenerationID, second.GenerationID)
		}
	})
	t.Run("lists are in order and are read in parts", func(t *testing.T) {
		s, _ := start(t)
		_, err := s.Create(entry(valve), entry(pump), entry(iot.ModuleIdentity("valve", "a")), entry(module), entry(iot.ModuleIdentity("pump", "a")))
		must(t, err)
		wantEntries(t, s.Devices("", 1), "pump")
		wantEntries(t, s.Devices("pump", 10), "valve")
		wantEntries(t, s.Modules("pump"), "pump/a pump/m")
		wantEntries(t, s.AllModules(iot.Identity{}, 10), "pump/a pump/m valve/a")
		wantEntries(t, s.AllModules(module, 10), "valve/a")
	})
	t.Run("the policies that every hub has survive a power cut", func(t *testing.T) {
		s, powerCut := start(t)
		owner, ok := s.Policy(storage.OwnerPolicy)
		again, _ := powerCut().Policy(storage.OwnerPolicy)
		if !ok || owner.Primary == "" || owner != again || len(s.Policies()) < 5 {
			t.Errorf("the owner's policy is there: %v, and the same: %v, of %d", ok, owner == again, len(s.Policies()))
		}
	})
}

func wantEntries(t *testing.T, list []storage.Entry, want string) {
	t.Helper()
	var ids []string
	for i := range list {
		ids = append(ids, list[i].Identity.String())
	}
	if got := strings.Join(ids, " "); got != want {
		t.Errorf("listed %q, want %q", got, want)
	}
}
