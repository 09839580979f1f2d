package registry

import (
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"sluice/internal/auth"
	"sluice/internal/dbtest"
	"sluice/internal/hub/code"
	"sluice/internal/hub/storage"
	"sluice/internal/sas"
	"sluice/iot"
)

var _ auth.Directory = (*Store)(nil)

func openOn(t testing.TB, fs vfs.FS, opt Options) *Store {
	t.Helper()
	db := dbtest.Open(t, fs)
	s, err := Open(db, opt)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func open(t testing.TB) *Store { return openOn(t, vfs.NewMem(), Options{}) }

func device(id string, change ...func(*storage.Entry)) storage.Entry {
	e := storage.Entry{}
	e.Identity, e.Enabled = iot.DeviceIdentity(id), true
	for _, c := range change {
		c(&e)
	}
	return e
}

func edge(e *storage.Entry) { e.Edge = true }

func under(scope string) func(*storage.Entry) {
	return func(e *storage.Entry) { e.ParentScopes = []string{scope} }
}

func must(t testing.TB, s *Store, e storage.Entry) storage.Entry {
	t.Helper()
	created, err := s.Create(e)
	if err != nil {
		t.Fatal(err)
	}
	return created[0]
}

func refuses(t testing.TB, what string, err error, want code.Code) {
	t.Helper()
	if err == nil || code.Of(err) != want {
		t.Errorf("%s: error %v, want code %d", what, err, want)
	}
}

func TestWhatIsLeftOpenIsFilledIn(t *testing.T) {
	s := open(t)
	e := must(t, s, device("d"))
	if e.Auth.Type != iot.AuthSAS || e.ETag == "" || e.GenerationID == "" || e.Created.IsZero() {
		t.Errorf("created %+v", e)
	}
	for _, key := range []iot.Secret{e.Auth.PrimaryKey, e.Auth.SecondaryKey} {
		if raw, err := sas.DecodeKey(key); err != nil || len(raw) < 32 {
			t.Errorf("a key of %d bytes, %v", len(raw), err)
		}
	}
	got, ok := s.Get(iot.DeviceIdentity("d"))
	if diff := cmp.Diff(e, got); !ok || diff != "" {
		t.Errorf("Get: %v %s", ok, diff)
	}
}

func TestAnEdgeDeviceComesWithItsModulesAndScope(t *testing.T) {
	s := open(t)
	gw := must(t, s, device("gw", edge))
	var names []string
	for _, m := range s.Modules("gw") {
		names = append(names, m.Identity.Module)
	}
	if diff := cmp.Diff([]string{"$edgeAgent", "$edgeHub"}, names); diff != "" {
		t.Error(diff)
	}
	found, ok := s.EdgeDevice(gw.Scope)
	if !ok || found.Identity != gw.Identity {
		t.Errorf("EdgeDevice(%q) = %v, %v", gw.Scope, found.Identity, ok)
	}
	refuses(t, "delete $edgeHub", s.Delete(iot.ModuleIdentity("gw", "$edgeHub"), storage.Any), code.ArgumentInvalid)
}

func TestChildren(t *testing.T) {
	s := open(t)
	gw := must(t, s, device("gw", edge))
	for i := range 7 {
		must(t, s, device(fmt.Sprintf("leaf%d", i), under(gw.Scope)))
	}
	var ids []string
	for after := ""; ; {
		page := s.Children(gw.Scope, after, 3)
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			ids = append(ids, e.Identity.Device)
			after = e.Identity.Device
		}
	}
	if diff := cmp.Diff([]string{"leaf0", "leaf1", "leaf2", "leaf3", "leaf4", "leaf5", "leaf6"}, ids); diff != "" {
		t.Error(diff)
	}
	if leaf, _ := s.Get(iot.DeviceIdentity("leaf3")); leaf.Scope != gw.Scope {
		t.Errorf("the leaf's scope is %q, want its parent's", leaf.Scope)
	}
	if err := s.Delete(gw.Identity, storage.Any); err != nil {
		t.Fatal(err)
	}
	if leaf, ok := s.Get(iot.DeviceIdentity("leaf3")); !ok || leaf.Scope != "" || leaf.Parent() != "" {
		t.Errorf("after its parent was deleted: %+v, %v", leaf, ok)
	}
	if got := s.Counts(); got != (storage.Counts{Devices: 7, Enabled: 7}) {
		t.Errorf("counts %+v", got)
	}
}

func TestParentsAreChecked(t *testing.T) {
	s := open(t)
	_, err := s.Create(device("leaf", under("ms-azure-iot-edge://nobody-1")))
	refuses(t, "an unknown parent", err, code.ArgumentInvalid)

	first := must(t, s, device("e0", edge))
	above := first
	for i := 1; i <= auth.MaxDepth; i++ {
		above = must(t, s, device(fmt.Sprintf("e%d", i), edge, under(above.Scope)))
	}
	_, err = s.Create(device("deep", edge, under(above.Scope)))
	refuses(t, "six gateways above", err, code.ArgumentInvalid)

	first.ParentScopes = []string{above.Scope}
	_, err = s.Update(first, storage.Any)
	refuses(t, "a circle", err, code.ArgumentInvalid)
}

func TestEntityTags(t *testing.T) {
	s := open(t)
	e := must(t, s, device("d"))
	first := e.ETag
	e.Enabled, e.StatusReason = false, "maintenance"
	second, err := s.Update(e, first)
	if err != nil {
		t.Fatal(err)
	}
	if second.ETag == first || second.StatusUpdated.IsZero() || second.Auth != e.Auth {
		t.Errorf("updated to %+v", second)
	}
	_, err = s.Update(e, first)
	refuses(t, "a second update with the old tag", err, code.PreconditionFailed)
	refuses(t, "delete with the old tag", s.Delete(e.Identity, first), code.PreconditionFailed)
	if err := s.Delete(e.Identity, second.ETag); err != nil {
		t.Error(err)
	}
	refuses(t, "delete twice", s.Delete(e.Identity, storage.Any), code.DeviceNotFound)
}

func TestKeysSurviveAnUpdateThatNamesNone(t *testing.T) {
	s := open(t)
	e := must(t, s, device("d"))
	bare := device("d")
	bare.Auth.Type = iot.AuthSAS
	got, err := s.Update(bare, storage.Any)
	if err != nil || got.Auth != e.Auth || got.GenerationID != e.GenerationID {
		t.Errorf("%+v, %v; want the keys and the generation of before", got, err)
	}
}

func TestRefusals(t *testing.T) {
	s := open(t)
	must(t, s, device("d"))
	withAuth := func(a iot.Authentication) storage.Entry {
		return device("x", func(e *storage.Entry) { e.Auth = a })
	}
	module := func(d, m string) storage.Entry {
		e := storage.Entry{}
		e.Identity = iot.ModuleIdentity(d, m)
		return e
	}
	for name, c := range map[string]struct {
		entry storage.Entry
		want  code.Code
	}{
		"twice":                  {device("d"), code.DeviceAlreadyExists},
		"an id with a slash":     {device("a/b"), code.ArgumentInvalid},
		"a module of nobody":     {module("none", "m"), code.DeviceNotFound},
		"a module named $edge…":  {module("d", "$edgeHub"), code.ArgumentInvalid},
		"a short key":            {withAuth(iot.Authentication{PrimaryKey: "AAAA"}), code.ArgumentInvalid},
		"a key that is no text":  {withAuth(iot.Authentication{PrimaryKey: "!!"}), code.ArgumentInvalid},
		"no thumbprint":          {withAuth(iot.Authentication{Type: iot.AuthSelfSigned}), code.ArgumentInvalid},
		"a thumbprint too short": {withAuth(iot.Authentication{PrimaryThumbprint: "AB"}), code.ArgumentInvalid},
		"an unknown type":        {withAuth(iot.Authentication{Type: "password"}), code.ArgumentInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			before := s.Counts()
			_, err := s.Create(c.entry)
			refuses(t, "create", err, c.want)
			if s.Counts() != before {
				t.Error("something was created in spite of the error")
			}
		})
	}
}

func TestABulkIsAllOrNothing(t *testing.T) {
	s := open(t)
	must(t, s, device("c"))
	_, err := s.Create(device("a"), device("b"), device("c"))
	refuses(t, "a bulk with one that exists", err, code.DeviceAlreadyExists)
	if got := s.Counts().Devices; got != 1 {
		t.Errorf("%d devices, want 1", got)
	}
	_, err = s.Create(device("a"), device("a"))
	refuses(t, "a bulk that repeats itself", err, code.DeviceAlreadyExists)
}

func TestDevicesArePagedInOrder(t *testing.T) {
	s := open(t)
	for _, id := range []string{"b", "a.1", "a", "a-1", "z", "a1"} {
		must(t, s, device(id, edge)) // its modules are not devices
	}
	var ids []string
	for after := ""; ; {
		page := s.Devices(after, 2)
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			after = e.Identity.Device
			ids = append(ids, after)
		}
	}
	if diff := cmp.Diff([]string{"a", "a-1", "a.1", "a1", "b", "z"}, ids); diff != "" {
		t.Error(diff)
	}
}

func TestWatchersHearEveryChangeInOrder(t *testing.T) {
	s := open(t)
	var heard []string
	stop := s.Watch(func(changes []storage.Change) {
		for _, c := range changes {
			heard = append(heard, fmt.Sprint(c.Identity(), c.Before != nil, c.After != nil))
		}
	})
	e := must(t, s, device("d"))
	e.Enabled = false
	if _, err := s.Update(e, storage.Any); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(e.Identity, storage.Any); err != nil {
		t.Fatal(err)
	}
	stop()
	must(t, s, device("later"))
	want := []string{"d false true", "d true true", "d true false"}
	if diff := cmp.Diff(want, heard); diff != "" {
		t.Error(diff)
	}
}

// What was returned to a caller is there after a power cut at any time.
func TestD2_RegistrySurvivesPowerCut(t *testing.T) {
	fs := vfs.NewCrashableMem()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	opt := Options{Now: func() time.Time { return now }}
	s := openOn(t, fs, opt)
	gw := must(t, s, device("gw", edge))
	leaf := must(t, s, device("leaf", under(gw.Scope)))
	must(t, s, device("gone"))
	if err := s.Delete(iot.DeviceIdentity("gone"), storage.Any); err != nil {
		t.Fatal(err)
	}

	again := openOn(t, fs.CrashClone(vfs.CrashCloneCfg{}), opt)
	got, ok := again.Get(leaf.Identity)
	if diff := cmp.Diff(leaf, got); !ok || diff != "" {
		t.Errorf("the leaf: %v %s", ok, diff)
	}
	if diff := cmp.Diff(s.Counts(), again.Counts()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(s.Policies(), again.Policies()); diff != "" {
		t.Error(diff)
	}
	if n := len(again.Children(gw.Scope, "", 10)); n != 1 {
		t.Errorf("%d children, want 1", n)
	}
	// The clock stood still: entity tags are new all the same.
	if e := must(t, again, device("new")); e.ETag == leaf.ETag || e.ETag == gw.ETag {
		t.Error("an entity tag was used twice")
	}
}

func BenchmarkRegistration(b *testing.B) {
	s := open(b)
	gw := must(b, s, device("gw", edge))
	for i := range 20 {
		list := make([]storage.Entry, 100)
		for j := range list {
			list[j] = device(fmt.Sprint("d", i*100+j), under(gw.Scope))
		}
		if _, err := s.Create(list...); err != nil {
			b.Fatal(err)
		}
	}
	id := iot.DeviceIdentity("d77")
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := s.Registration(id); !ok {
			b.Fatal("not found")
		}
	}
}
