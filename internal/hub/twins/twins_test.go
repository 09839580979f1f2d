package twins

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/dbtest"
	"sluice/internal/hub/storage"
	"sluice/internal/twin"
	"sluice/iot"
)

func newStore(t *testing.T) *Store {
	t.Helper()
	return New(dbtest.Open(t, vfs.NewMem()), nil)
}

const generation = "639134605230000000"

func patch(t *testing.T, s *Store, id iot.Identity, body string) {
	t.Helper()
	_, err := s.Update(id, generation, func(tw twin.Twin, now time.Time) (twin.Twin, error) {
		return tw.Patch(json.RawMessage(body), now)
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
}

func TestAChangeThatWasAnsweredSurvivesAPowerCut(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s, id := New(dbtest.Open(t, fs), nil), iot.DeviceIdentity("a")
	patch(t, s, id, `{"tags":{"site":"north"}}`)
	after := New(dbtest.Open(t, fs.CrashClone(vfs.CrashCloneCfg{})), nil)
	got, err := after.Get(id, generation)
	if err != nil || string(got.Tags.JSON()) != `{"site":"north"}` || got.Revision != 2 {
		t.Errorf("after the cut the tags are %s, revision %d, %v", got.Tags.JSON(), got.Revision, err)
	}
}

func TestAnIdentityThatWasMadeAgainHasANewTwin(t *testing.T) {
	s, id := newStore(t), iot.DeviceIdentity("a")
	patch(t, s, id, `{"tags":{"site":"north"}}`)
	const next = "639134605240000000"
	got, err := s.Get(id, next)
	if err != nil || string(got.Tags.JSON()) != `{}` || !got.Desired.Updated().Equal(storage.Born(next)) {
		t.Errorf("the new twin has tags %s and was written at %v, %v", got.Tags.JSON(), got.Desired.Updated(), err)
	}
	r, err := s.NewReader()
	if err != nil {
		t.Fatal(err)
	}
	v, err := r.View(twin.Owner{}, id, next)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := v.Lookup([]string{"tags", "site"}); ok {
		t.Error("a reader shows the old twin")
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestBornIsTheTimeInAGeneration(t *testing.T) {
	for generation, want := range map[string]time.Time{
		"639134605230000000": time.Date(2026, 5, 4, 3, 2, 3, 0, time.UTC),
		"639134605230000001": time.Date(2026, 5, 4, 3, 2, 3, 100, time.UTC),
		"":                   {},
		"first":              {},
		"17":                 {},
	} {
		if got := storage.Born(generation); !got.Equal(want) {
			t.Errorf("Born(%q) = %v, want %v", generation, got, want)
		}
	}
}

// A reader finds each twin whatever the order of the questions, and whatever lies
// between those that are stored.
func TestAReaderFindsWhatIsStored(t *testing.T) {
	s := newStore(t)
	var ids []iot.Identity
	for i := range 60 {
		id := iot.DeviceIdentity(fmt.Sprintf("d%02d", i))
		ids = append(ids, id, iot.ModuleIdentity(id.Device, "m"))
	}
	stored := map[iot.Identity]bool{}
	for i, id := range ids {
		if i%7 == 0 || i > 80 && i < 100 {
			patch(t, s, id, fmt.Sprintf(`{"tags":{"name":%q}}`, id))
			stored[id] = true
		}
	}
	ask := func(r storage.TwinReader, id iot.Identity) {
		t.Helper()
		v, err := r.View(twin.Owner{}, id, generation)
		if err != nil {
			t.Fatal(err)
		}
		name, ok := v.Lookup([]string{"tags", "name"})
		if ok != stored[id] || ok && name.Text() != id.String() {
			t.Errorf("%s has the tag %q, %v; stored is %v", id, name.Text(), ok, stored[id])
		}
	}
	for step := 1; step < len(ids); step += 3 {
		r, err := s.NewReader()
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(ids); i += step {
			ask(r, ids[i])
			ask(r, ids[i]) // a row may be asked for twice
		}
		for i := range ids {
			ask(r, ids[(i*step)%len(ids)])
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestWhatIsDamagedIsAnErrorAndNoTwin(t *testing.T) {
	s, id := newStore(t), iot.DeviceIdentity("a")
	patch(t, s, id, `{"tags":{"site":"north"}}`)
	value, closer, err := s.db.Get(key(id))
	if err != nil {
		t.Fatal(err)
	}
	whole := append([]byte(nil), value...)
	if err := closer.Close(); err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		if err := s.db.Set(key(id), whole[:n], pebble.NoSync); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Get(id, generation); !errors.Is(err, twin.ErrCorrupt) {
			t.Errorf("cut at %d: %s, %v", n, got.Tags.JSON(), err)
		}
	}
}
