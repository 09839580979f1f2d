package provision

import (
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sluice/internal/await"
	"sluice/internal/service"
	"sluice/iot"
)

func TestALeafIsCreatedInTheScopeOfItsGateway(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	m, p := s.connect("site-1"), s.start(nil)
	p.ask("leaf-1", "create")
	if code := m.await("leaf-1", 1); code != http.StatusCreated {
		t.Errorf("the module was told %d", code)
	}
	scope := s.device("site-1").DeviceScope
	d := s.device("leaf-1")
	if d.Parent() != scope || d.DeviceScope != scope || d.Status != "enabled" {
		t.Errorf("%+v is not a device in %s", d, scope)
	}
	if want := s.keys("site-1", "leaf-1"); *d.Authentication.SymmetricKey != want {
		t.Error("its keys are not derived from the module's")
	}

	// Asked again, nothing is changed.
	p.ask("leaf-1", "create")
	if code := m.await("leaf-1", 2); code != http.StatusOK {
		t.Errorf("the second time the module was told %d", code)
	}
	if again := s.device("leaf-1"); again.ETag != d.ETag {
		t.Error("the device was written again")
	}
}

func TestALeafGoesAndComesBack(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	m, p := s.connect("site-1"), s.start(nil)
	n := 0
	step := func(operation string, want int) {
		t.Helper()
		p.ask("leaf-1", operation)
		n++
		if code := m.await("leaf-1", n); code != want {
			t.Fatalf("%s (step %d): told %d, want %d", operation, n, code, want)
		}
	}
	step("create", 201)
	step("disable", 200)
	if d := s.device("leaf-1"); d.Status != "disabled" {
		t.Errorf("it is %s", d.Status)
	}
	step("disable", 200)
	step("create", 200)
	if d := s.device("leaf-1"); d.Status != "enabled" {
		t.Errorf("it is %s", d.Status)
	}
	step("delete", 200)
	if s.exists("leaf-1") {
		t.Error("it is still there")
	}
	step("delete", 200)
	step("disable", 404)
	step("create", 201)
}

func TestKeysFollowTheModules(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start(nil)
	m := s.connect("site-1")
	p.ask("leaf-1", "create")
	m.await("leaf-1", 1)
	old := *s.device("leaf-1").Authentication.SymmetricKey
	if err := s.client.Delete(t.Context(), m.id, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.CreateModule(t.Context(), service.Module{DeviceID: "site-1", ModuleID: "itm"}); err != nil {
		t.Fatal(err)
	}
	p.stop()
	p, m = s.start(nil), s.connect("site-1")
	p.ask("leaf-1", "create")
	if code := m.await("leaf-1", 1); code != http.StatusOK {
		t.Errorf("told %d", code)
	}
	if got := *s.device("leaf-1").Authentication.SymmetricKey; got == old || got != s.keys("site-1", "leaf-1") {
		t.Error("the keys are not the new module's")
	}
}

func TestZ10_NobodyElsesDeviceIsTouched(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	scope := func(edge string) (string, []string) {
		at := s.device(edge).DeviceScope
		return at, []string{at}
	}
	own := func(id, edge string, change func(*service.Device)) {
		d := service.Device{DeviceID: id, Status: "enabled"}
		if edge != "" {
			d.DeviceScope, d.ParentScopes = scope(edge)
		}
		if change != nil {
			change(&d)
		}
		s.create(d)
	}
	own("leaf-of-another", "site-2", nil)
	own("leaf-of-none", "", nil)
	own("leaf-by-hand", "site-1", nil)
	own("exact", "site-1", nil)
	own("leaf-x509", "site-1", func(d *service.Device) { d.Authentication = &service.Authentication{Type: iot.AuthCA} })
	own("leaf-edge", "", func(d *service.Device) {
		d.Capabilities = &service.Capabilities{IoTEdge: true}
		_, d.ParentScopes = scope("site-1")
	})
	own("Leaf-Case", "site-2", nil)

	m, p := s.connect("site-1"), s.start(nil)
	n := map[string]int{}
	for _, c := range []struct {
		name, leaf, operation string
		want                  int
	}{
		{"another gateway's device is not re-parented", "leaf-of-another", "create", 403},
		{"nor disabled", "leaf-of-another", "disable", 403},
		{"nor deleted", "leaf-of-another", "delete", 403},
		{"a device below no gateway is not taken", "leaf-of-none", "create", 403},
		{"nor deleted", "leaf-of-none", "delete", 403},
		{"a device that somebody made below this gateway is not taken by a pattern", "leaf-by-hand", "create", 403},
		{"nor deleted", "leaf-by-hand", "delete", 403},
		{"nor one with a certificate", "leaf-x509", "create", 403},
		{"nor a gateway below this one", "leaf-edge", "create", 403},
		{"nor deleted", "leaf-edge", "delete", 403},
		{"an id that stands in the list itself may be taken over", "exact", "create", 200},
		{"an id in another case is another id, and not on the list", "Leaf-Case", "create", 400},
		{"in lower case it is a leaf of its own", "leaf-case", "create", 201},
		{"what is not listed is refused", "other", "create", 400},
		{"also as part of what is listed", "xact", "create", 400},
		{"also as a longer form of what is listed", "exact-1", "create", 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			before, existed := s.hub.Registry().Get(iot.DeviceIdentity(c.leaf))
			p.ask(c.leaf, c.operation)
			n[c.leaf]++
			if code := m.await(c.leaf, n[c.leaf]); code != c.want {
				t.Errorf("told %d, want %d", code, c.want)
			}
			after, exists := s.hub.Registry().Get(iot.DeviceIdentity(c.leaf))
			if c.want >= 300 && (exists != existed || after.ETag != before.ETag) {
				t.Errorf("the device was changed: %+v", after)
			}
		})
	}
}

func TestZ10_IdsThatCouldMeanAnotherAreRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.connect("site-1")
	p := s.start(func(cfg *Config) { cfg.Allow = func(string) Listing { return ByID } })
	before := s.hub.Registry().Counts()
	bad := []string{
		"", "a/b", "..", ".", "site-1", "SITE-1", "site-1/itm", "$edgeHub", "$edgeAgent", "leaf%2F1", "leaf%252F1", "leaf+", "leaf#", "leaf?x=1",
		"leaf 1", "leaf\u0000", "ſite-1", "leaf\u2044x", "ｌeaf", strings.Repeat("x", 129), "le\naf",
	}
	for _, leaf := range bad {
		p.ask(leaf, "create")
	}
	if c := p.Counts(); c.Bad != int64(len(bad)) || c.Asked != 0 {
		t.Errorf("%d of %d were found to be wrong, %d were taken", c.Bad, len(bad), c.Asked)
	}
	if after := s.hub.Registry().Counts(); after != before {
		t.Errorf("there are %+v, were %+v", after, before)
	}
}

func TestZ10_TheSenderIsWhoTheHubSaysItIs(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	one, two := s.connect("site-1"), s.connect("site-2")
	p := s.start(nil)
	forged := func(leaf, device, module string) map[string]any {
		e := event("site-1", "itm", leaf, "create")
		e["data"].(map[string]any)["systemProperties"] = map[string]string{"iothub-connection-device-id": device, "iothub-connection-module-id": module}
		return e
	}
	// The body says site-1; it comes from site-2, which is told.
	p.post([]any{forged("leaf-1", "site-2", "itm")})
	if code := two.await("leaf-1", 1); code != http.StatusForbidden {
		t.Errorf("the liar was told %d", code)
	}
	// From a device, from nobody, and with an id that is none.
	p.post([]any{forged("leaf-2", "site-1", ""), forged("leaf-3", "", ""), forged("leaf-4", "site-1/itm", "itm")})
	if c := p.Counts(); c.Bad != 3 {
		t.Errorf("%d events were found to be wrong, want 3", c.Bad)
	}
	for _, leaf := range []string{"leaf-1", "leaf-2", "leaf-3", "leaf-4"} {
		if s.exists(leaf) {
			t.Errorf("%s was created", leaf)
		}
	}
	if n := one.told(); n != 0 {
		t.Errorf("site-1 was told %d times of what it did not ask for", n)
	}
}

func TestOnlyModulesThatAreNamedMayAsk(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	m := s.connect("site-1")
	p := s.start(func(cfg *Config) { cfg.Modules = []string{"itm"} })
	p.post([]any{event("site-1", "camera", "leaf-1", "create"), event("site-1", "itm", "leaf-2", "create")})
	m.await("leaf-2", 1)
	if s.exists("leaf-1") || p.Counts().Bad != 1 {
		t.Errorf("a module that is not named was heard: %+v", p.Counts())
	}
}

func TestWhatAnOperatorDisabledStaysSo(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	m, p := s.connect("site-1"), s.start(nil)
	p.ask("leaf-1", "create")
	m.await("leaf-1", 1)
	d := s.device("leaf-1")
	d.Status = "disabled"
	if _, err := s.client.UpdateDevice(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	p.ask("leaf-1", "create")
	if code := m.await("leaf-1", 2); code != http.StatusForbidden {
		t.Errorf("told %d", code)
	}
	if d := s.device("leaf-1"); d.Status != "disabled" {
		t.Error("it was enabled")
	}
}

func TestALeafMovesWhenAnOperatorMovesIt(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	one, two, p := s.connect("site-1"), s.connect("site-2"), s.start(nil)
	p.ask("leaf-1", "create")
	one.await("leaf-1", 1)
	d := s.device("leaf-1")
	d.DeviceScope = s.device("site-2").DeviceScope
	d.ParentScopes = []string{d.DeviceScope}
	if _, err := s.client.UpdateDevice(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	p.post([]any{event("site-2", "itm", "leaf-1", "create")})
	if code := two.await("leaf-1", 1); code != http.StatusOK {
		t.Errorf("its new gateway was told %d", code)
	}
	if *s.device("leaf-1").Authentication.SymmetricKey != s.keys("site-2", "leaf-1") {
		t.Error("its keys are not those of its new gateway's module")
	}
	p.ask("leaf-1", "create")
	if code := one.await("leaf-1", 2); code != http.StatusForbidden {
		t.Errorf("its old gateway was told %d", code)
	}
}

func TestAModuleThatIsAwayIsToldLater(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	dir := filepath.Join(t.TempDir(), "p")
	keep := func(cfg *Config) { cfg.Dir = dir }
	p := s.start(keep)
	p.ask("leaf-1", "create")
	p.ask("no", "create")
	await.True(t, "a call that nobody answered", func() bool { return p.Counts().Mute > 0 })
	p.stop()

	// The requests outlive the process.
	m := s.connect("site-1")
	p = s.start(keep)
	if code := m.await("leaf-1", 1); code != 200 && code != 201 {
		t.Errorf("told %d", code)
	}
	if code := m.await("no", 1); code != http.StatusBadRequest {
		t.Errorf("told %d", code)
	}
	await.True(t, "the requests are done with", func() bool { return p.Counts().Open == 0 })
	p.stop()
	p = s.start(keep)
	if n := p.Counts().Open; n != 0 {
		t.Errorf("%d requests are done again", n)
	}
}

func TestManyLeavesAtOnceAreEachCreatedOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	m := s.connect("site-1")
	p := s.start(func(cfg *Config) { cfg.Rate = 10_000 })
	const leaves = 400
	var batch []any
	for i := range leaves {
		batch = append(batch, event("site-1", "itm", fmt.Sprintf("leaf-%d", i), "create"))
	}
	for part := range slices.Chunk(batch, 100) {
		if w := p.post(part); w.Code != http.StatusOK {
			t.Fatal(w.Code)
		}
		p.post(part) // Event Grid delivers at least once
	}
	await.True(t, "all are answered", func() bool { return p.Counts().Open == 0 && m.told() >= leaves })
	if c := p.Counts(); c.Created != leaves || c.Updated != 0 {
		t.Errorf("%+v", c)
	}
	if got := s.hub.Registry().Counts().Devices; got != leaves+2 {
		t.Errorf("%d devices", got)
	}
}

func TestAModuleThatIsGoneIsForgotten(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start(nil)
	p.post([]any{event("site-9", "itm", "leaf-1", "create"), event("site-1", "gone", "leaf-2", "create")})
	await.True(t, "the requests end", func() bool { return p.Counts().Open == 0 })
	if s.exists("leaf-1") || s.exists("leaf-2") {
		t.Error("a leaf of nobody was created")
	}
}

// BenchmarkCreate makes devices of leaves that come a hundred at a time, from the post
// of their events to the answer of the module's callback; hub and module are in this
// process, the service API is over TLS.
func BenchmarkCreate(b *testing.B) {
	s := newSite(b)
	m := s.connect("site-1")
	p := s.start(func(cfg *Config) { cfg.Rate = 1e6 })
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += 100 {
		var batch []any
		for i := n; i < min(n+100, b.N); i++ {
			batch = append(batch, event("site-1", "itm", fmt.Sprintf("leaf-%d", i), "create"))
		}
		p.post(batch)
	}
	await.True(b, "all are answered", func() bool { return p.Counts().Open == 0 && m.told() >= b.N })
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "leaves/s")
}
