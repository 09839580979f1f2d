package storagetest

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"sluice/internal/hub/storage"
	"sluice/internal/twin"
	"sluice/iot"
)

// Generation ids: of an identity, and of one that was made again.
const (
	earlier = "639134605230000000"
	later   = "639134605240000000"
)

// tag makes a change that sets the tag site.
func tag(site string) func(twin.Twin, time.Time) (twin.Twin, error) {
	return func(t twin.Twin, now time.Time) (twin.Twin, error) {
		return t.Patch(json.RawMessage(`{"tags":{"site":"`+site+`"}}`), now)
	}
}

// Twins tests an implementation of [storage.Twins].
func Twins(t *testing.T, start Start[storage.Twins]) {
	id := iot.DeviceIdentity("pump")
	t.Run("a change is durable when stored hears of it", func(t *testing.T) {
		s, powerCut := start(t)
		var then storage.Twins
		after, err := s.Update(id, earlier, tag("north"), func(twin.Twin) { then = powerCut() })
		must(t, err)
		if want := string(after.Tags.JSON()); want != `{"site":"north"}` {
			t.Errorf("the tags after the change are %s", want)
		}
		wantSite(t, then, id, earlier, "north")
		wantSite(t, s, id, earlier, "north")
	})
	t.Run("a change that fails changes nothing", func(t *testing.T) {
		s, _ := start(t)
		_, err := s.Update(id, earlier, tag("north"), nil)
		must(t, err)
		wrong := errors.New("wrong")
		_, err = s.Update(id, earlier, func(t twin.Twin, _ time.Time) (twin.Twin, error) { return twin.Twin{}, wrong },
			func(twin.Twin) { t.Error("stored was called") })
		if !errors.Is(err, wrong) {
			t.Errorf("it failed with %v", err)
		}
		wantSite(t, s, id, earlier, "north")
	})
	t.Run("one that was made again begins anew", func(t *testing.T) {
		s, _ := start(t)
		_, err := s.Update(id, earlier, tag("north"), nil)
		must(t, err)
		wantSite(t, s, id, later, "")
		must(t, s.Delete(id))
		wantSite(t, s, id, earlier, "")
	})
	t.Run("twins begin together or not at all", func(t *testing.T) {
		s, powerCut := start(t)
		other := iot.ModuleIdentity("pump", "m")
		wrong := errors.New("wrong")
		fail := func(t twin.Twin, _ time.Time) (twin.Twin, error) { return t, wrong }
		err := s.Begin([]storage.Beginning{{Identity: id, Generation: earlier, Make: tag("north")}, {Identity: other, Generation: earlier, Make: fail}})
		if !errors.Is(err, wrong) {
			t.Errorf("it failed with %v", err)
		}
		wantSite(t, s, id, earlier, "")
		must(t, s.Begin([]storage.Beginning{{Identity: id, Generation: earlier, Make: tag("north")}, {Identity: other, Generation: earlier, Make: tag("south")}}))
		s = powerCut()
		wantSite(t, s, id, earlier, "north")
		wantSite(t, s, other, earlier, "south")
	})
	t.Run("a reader sees twins as they were", func(t *testing.T) {
		s, _ := start(t)
		_, err := s.Update(id, earlier, tag("north"), nil)
		must(t, err)
		r, err := s.NewReader()
		must(t, err)
		_, err = s.Update(id, earlier, tag("south"), nil)
		must(t, err)
		v, err := r.View(twin.Owner{}, id, earlier)
		must(t, err)
		must(t, r.Close())
		if site, ok := v.Lookup([]string{"tags", "site"}); !ok || site.Text() != "north" {
			t.Errorf("it saw the site %q, %v", site.Text(), ok)
		}
	})
}

// wantSite compares the tag site of a twin; "" is one that nobody has changed.
func wantSite(t *testing.T, s storage.Twins, id iot.Identity, generation, site string) {
	t.Helper()
	got, err := s.Get(id, generation)
	must(t, err)
	want := twin.New(storage.Born(generation))
	if site != "" {
		want, err = tag(site)(want, time.Time{})
		must(t, err)
	}
	if string(got.Tags.JSON()) != string(want.Tags.JSON()) || got.Version() != want.Version() {
		t.Errorf("%s has the tags %s of version %d, want %s of %d", id, got.Tags.JSON(), got.Version(), want.Tags.JSON(), want.Version())
	}
}
