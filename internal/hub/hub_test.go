package hub

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"sluice/internal/await"
	"sluice/internal/dbtest"
	"sluice/internal/hub/code"
	"sluice/internal/hub/commands"
	"sluice/internal/hub/deploy"
	"sluice/internal/hub/eventlog"
	"sluice/internal/hub/jobs"
	"sluice/internal/hub/registry"
	"sluice/internal/hub/storage"
	"sluice/internal/hub/storage/storagetest"
	"sluice/internal/hub/twins"
	"sluice/internal/sas"
	"sluice/iot"
)

const hostName = "hub.local"

type fixture struct {
	*Hub
	t testing.TB
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	fs := vfs.NewMem()
	db := dbtest.Open(t, fs)
	store, err := registry.Open(db, registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	log, err := eventlog.Open("events", eventlog.Options{FS: fs, MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	queues, err := commands.Open(db, commands.Options{Generation: store.Generation})
	if err != nil {
		t.Fatal(err)
	}
	var kept storagetest.Memory
	work, err := jobs.Open(&kept, jobs.Options{Now: nil})
	if err != nil {
		t.Fatal(err)
	}
	configurations, err := deploy.Open(&kept, nil)
	if err != nil {
		t.Fatal(err)
	}
	h, err := New(Options{
		Hosts: []string{hostName}, Registry: store, Twins: twins.New(db, nil), Events: log, Commands: queues,
		Configurations: configurations, Jobs: work,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(await.Run(h.Run))
	return &fixture{h, t}
}

func (f *fixture) create(id string, change ...func(*storage.Entry)) storage.Entry {
	f.t.Helper()
	parsed, err := iot.ParseIdentity(id)
	if err != nil {
		f.t.Fatal(err)
	}
	e := storage.Entry{}
	e.Identity, e.Enabled = parsed, true
	for _, c := range change {
		c(&e)
	}
	created, err := f.opt.Registry.Create(e)
	if err != nil {
		f.t.Fatal(err)
	}
	return created[0]
}

func edge(e *storage.Entry) { e.Edge = true }

func below(scope string) func(*storage.Entry) {
	return func(e *storage.Entry) { e.ParentScopes = []string{scope} }
}

// creds proves an identity by its own key.
func (f *fixture) creds(id iot.Identity) iot.Credentials {
	f.t.Helper()
	e, ok := f.opt.Registry.Get(id)
	if !ok {
		f.t.Fatalf("%s is not registered", id)
	}
	token, err := sas.Sign(e.Auth.PrimaryKey, sas.Resource{Host: hostName, Identity: id}, "", time.Now().Add(time.Hour))
	if err != nil {
		f.t.Fatal(err)
	}
	return iot.Credentials{Identity: id, Token: token}
}

func (f *fixture) connect(id iot.Identity, ended func(error)) iot.Session {
	f.t.Helper()
	s, err := f.Connect(f.t.Context(), f.creds(id), iot.Client{Ended: ended})
	if err != nil {
		f.t.Fatal(err)
	}
	return s
}

func send(t *testing.T, s iot.Session, bodies ...string) error {
	t.Helper()
	batch := make([]iot.Message, len(bodies))
	for i, b := range bodies {
		batch[i].Body = []byte(b)
	}
	done := make(chan error, 1)
	s.Send(batch, func(err error) { done <- err })
	return <-done
}

var dev = iot.DeviceIdentity("dev")

func TestTelemetryIsStoredUnderItsSender(t *testing.T) {
	f := newFixture(t)
	e := f.create("dev")
	s := f.connect(dev, nil)
	lie := iot.Message{Body: []byte("x")}
	lie.Stamp(iot.DeviceIdentity("another"))
	done := make(chan error, 1)
	s.Send([]iot.Message{lie}, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	r, err := f.opt.Events.Reader(f.opt.Events.PartitionOf(dev), storage.Earliest())
	if err != nil {
		t.Fatal(err)
	}
	events, err := r.Poll(10)
	if err != nil || len(events) != 1 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	sys := events[0].Message.System
	want := `{"scope":"device","type":"sas","issuer":"iothub"}`
	if events[0].Message.Sender() != dev || sys.Get(iot.ConnectionAuthMethod) != want || sys.Get(iot.ConnectionDeviceGenerationID) != e.GenerationID {
		t.Errorf("stored as %v", sys)
	}
}

// Applications find plug and play devices by the model that these say they are, also
// while they are away, and interpret telemetry by it.
func TestAModelIsRemembered(t *testing.T) {
	const model = "dtmi:com:example:Thermostat;1"
	f := newFixture(t)
	made := f.create("dev")
	s, err := f.Connect(t.Context(), f.creds(dev), iot.Client{ModelID: model})
	if err != nil {
		t.Fatal(err)
	}
	if err := send(t, s, "21"); err != nil {
		t.Fatal(err)
	}
	r, err := f.opt.Events.Reader(f.opt.Events.PartitionOf(dev), storage.Earliest())
	if err != nil {
		t.Fatal(err)
	}
	events, err := r.Poll(10)
	if err != nil || len(events) != 1 || events[0].Message.System.Get(iot.ModelID) != model {
		t.Errorf("stored as %+v, %v", events, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	e, _ := f.opt.Registry.Get(dev)
	if e.ETag != made.ETag {
		t.Error("what a device says of itself changed the entity tag that applications hold")
	}
	e.StatusReason, e.ModelID = "x", ""
	if _, err := f.opt.Registry.Update(e, storage.Any); err != nil {
		t.Fatal(err)
	}
	f.connect(dev, nil)
	if e, _ = f.opt.Registry.Get(dev); f.Owner(&e).ModelID != model {
		t.Errorf("the twin's model is %q", f.Owner(&e).ModelID)
	}
	if _, err := f.Connect(t.Context(), f.creds(dev), iot.Client{ModelID: strings.Repeat("d", maxModelID+1)}); iot.KindOf(err) != iot.Invalid {
		t.Errorf("an endless model: %v", err)
	}
}

func TestTelemetryThatIsTooLarge(t *testing.T) {
	f := newFixture(t)
	f.create("dev")
	if err := send(t, f.connect(dev, nil), string(make([]byte, iot.MaxMessageSize+1))); iot.KindOf(err) != iot.TooLarge {
		t.Errorf("error %v, want TooLarge", err)
	}
}

func TestARegistryChangeEndsSessions(t *testing.T) {
	module := iot.ModuleIdentity("dev", "m")
	for name, c := range map[string]struct {
		change func(*fixture) error
		want   error
	}{
		"disabled": {func(f *fixture) error {
			e, _ := f.opt.Registry.Get(dev)
			e.Enabled = false
			_, err := f.opt.Registry.Update(e, storage.Any)
			return err
		}, iot.ErrDisabled},
		"deleted": {func(f *fixture) error { return f.opt.Registry.Delete(dev, storage.Any) }, iot.ErrRemoved},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.create("dev")
			f.create("dev/m")
			f.create("other")
			reasons := make(chan error, 3)
			f.connect(dev, func(err error) { reasons <- err })
			f.connect(module, func(err error) { reasons <- err })
			other := f.connect(iot.DeviceIdentity("other"), func(err error) { reasons <- err })
			if err := c.change(f); err != nil {
				t.Fatal(err)
			}
			if err := <-reasons; !errors.Is(err, c.want) {
				t.Errorf("the device was told %v, want %v", err, c.want)
			}
			if err := <-reasons; iot.KindOf(err) != iot.Unauthorized {
				t.Errorf("the module was told %v", err)
			}
			if err := send(t, other, "still here"); err != nil {
				t.Errorf("another device: %v", err)
			}
		})
	}
}

func TestTwin(t *testing.T) {
	f := newFixture(t)
	f.create("dev")
	s := f.connect(dev, nil)
	var changes []string
	if _, err := s.DesiredChanges(func(patch json.RawMessage) { changes = append(changes, string(patch)) }); err != nil {
		t.Fatal(err)
	}
	first, err := f.PatchTwin(dev, json.RawMessage(`{"properties":{"desired":{"interval":10,"mode":"slow"}}}`), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.PatchTwin(dev, json.RawMessage(`{"properties":{"desired":{"mode":null}}}`), first.ETag()); err != nil {
		t.Fatal(err)
	}
	_, err = f.PatchTwin(dev, json.RawMessage(`{"tags":{"a":1}}`), first.ETag())
	if code.Of(err) != code.PreconditionFailed {
		t.Errorf("a patch with an old etag: %v", err)
	}
	want := []string{`{"interval":10,"mode":"slow","$version":2}`, `{"mode":null,"$version":3}`}
	if diff := cmp.Diff(want, changes); diff != "" {
		t.Errorf("what the device was told: %s", diff)
	}
	version, err := s.PatchReported(t.Context(), json.RawMessage(`{"interval":10}`))
	if err != nil || version != 2 {
		t.Errorf("reported: version %d, %v", version, err)
	}
	got, err := s.Twin(t.Context())
	if err != nil || string(got.Desired) != `{"interval":10}` || got.DesiredVersion != 3 || string(got.Reported) != `{"interval":10}` {
		t.Errorf("twin %+v, %v", got, err)
	}
	if _, err := s.PatchReported(t.Context(), json.RawMessage(`[1]`)); iot.KindOf(err) != iot.Invalid {
		t.Errorf("reported an array: %v", err)
	}
}

func TestATwinDiesWithItsGeneration(t *testing.T) {
	f := newFixture(t)
	f.create("dev")
	if _, err := f.PatchTwin(dev, json.RawMessage(`{"tags":{"site":"north"}}`), ""); err != nil {
		t.Fatal(err)
	}
	if err := f.opt.Registry.Delete(dev, storage.Any); err != nil {
		t.Fatal(err)
	}
	f.create("dev")
	got, err := f.Twin(dev)
	if err != nil || string(got.Tags.JSON()) != "{}" {
		t.Errorf("tags of the new device: %s, %v", got.Tags.JSON(), err)
	}
}

func TestMethods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.create("dev")
		call := iot.MethodCall{Name: "reboot", Payload: json.RawMessage(`{"in":5}`), ResponseTimeout: 10 * time.Second}

		_, err := f.InvokeMethod(t.Context(), dev, call)
		if code.Of(err) != code.DeviceNotOnline {
			t.Errorf("nobody there: %v", err)
		}
		_, err = f.InvokeMethod(t.Context(), iot.DeviceIdentity("nobody"), call)
		if code.Of(err) != code.DeviceNotFound {
			t.Errorf("nobody of that name: %v", err)
		}

		s := f.connect(dev, nil)
		sub, err := s.Methods(func(c iot.MethodCall, reply func(iot.MethodResult)) {
			if c.Name == "reboot" {
				go reply(iot.MethodResult{Status: 202, Payload: c.Payload})
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		got, err := f.InvokeMethod(t.Context(), dev, call)
		if err != nil || got.Status != 202 || string(got.Payload) != `{"in":5}` {
			t.Errorf("answer %+v, %v", got, err)
		}
		_, err = f.InvokeMethod(t.Context(), dev, iot.MethodCall{Name: "silent", ResponseTimeout: 5 * time.Second})
		if code.Of(err) != code.GatewayTimeout {
			t.Errorf("a device that does not answer: %v", err)
		}
		time.AfterFunc(time.Second, sub.Close)
		_, err = f.InvokeMethod(t.Context(), dev, iot.MethodCall{Name: "silent"})
		if code.Of(err) != code.DeviceNotOnline {
			t.Errorf("a device that leaves: %v", err)
		}
	})
}

func TestAMethodWaitsForItsTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.create("dev")
		time.AfterFunc(5*time.Second, func() {
			_, err := f.connect(dev, nil).Methods(func(_ iot.MethodCall, reply func(iot.MethodResult)) { reply(iot.MethodResult{Status: 200}) })
			if err != nil {
				t.Error(err)
			}
		})
		got, err := f.InvokeMethod(t.Context(), dev, iot.MethodCall{Name: "x", ConnectTimeout: 10 * time.Second})
		if err != nil || got.Status != 200 {
			t.Errorf("answer %+v, %v", got, err)
		}
	})
}

func TestOnlyItsOwnEdgeHubIsToldOfAScope(t *testing.T) {
	f := newFixture(t)
	gw := f.create("gw", edge)
	f.create("gw/filter")
	f.create("leaf", below(gw.Scope))
	f.create("leaf/m")
	f.create("stranger")
	hub := f.creds(iot.ModuleIdentity("gw", iot.EdgeHubModule))

	page, err := f.InScope(t.Context(), hub, "")
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, r := range page.Identities {
		ids = append(ids, r.Identity.String())
	}
	want := []string{"gw", "gw/$edgeAgent", "gw/$edgeHub", "gw/filter", "leaf", "leaf/m"}
	if diff := cmp.Diff(want, ids); diff != "" || page.Next != "" {
		t.Errorf("%s next %q", diff, page.Next)
	}
	regs, err := f.Lookup(t.Context(), hub, iot.ModuleIdentity("leaf", "m"))
	if err != nil || len(regs) != 2 || regs[0].Identity != iot.DeviceIdentity("leaf") {
		t.Errorf("looked up %v, %v", regs, err)
	}
	for _, id := range []string{"stranger", "nobody"} {
		if _, err := f.Lookup(t.Context(), hub, iot.DeviceIdentity(id)); iot.KindOf(err) != iot.NotFound {
			t.Errorf("lookup of %s: %v, want NotFound", id, err)
		}
	}
	for _, id := range []iot.Identity{iot.DeviceIdentity("leaf"), iot.DeviceIdentity("gw"), iot.ModuleIdentity("gw", "filter")} {
		if _, err := f.InScope(t.Context(), f.creds(id), ""); iot.KindOf(err) != iot.Forbidden {
			t.Errorf("%s was told: %v, want Forbidden", id, err)
		}
	}
}

func TestScopeIsPaged(t *testing.T) {
	f := newFixture(t)
	gw := f.create("gw", edge)
	const n = 2*scopePage + 1
	for begin := 0; begin < n; begin += 100 {
		var entries []storage.Entry
		for i := begin; i < min(begin+100, n); i++ {
			e := storage.Entry{}
			e.Identity, e.Enabled, e.ParentScopes = iot.DeviceIdentity(fmt.Sprint("leaf-", i)), true, []string{gw.Scope}
			entries = append(entries, e)
		}
		if _, err := f.opt.Registry.Create(entries...); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[iot.Identity]int{}
	hub := f.creds(iot.ModuleIdentity("gw", iot.EdgeHubModule))
	for next, pages := "", 0; pages == 0 || next != ""; pages++ {
		page, err := f.InScope(t.Context(), hub, next)
		if err != nil || pages > 3 {
			t.Fatalf("page %d: %v", pages, err)
		}
		for _, r := range page.Identities {
			seen[r.Identity]++
		}
		next = page.Next
	}
	if len(seen) != n+3 {
		t.Errorf("%d identities, want %d", len(seen), n+3)
	}
	for id, times := range seen {
		if times != 1 {
			t.Errorf("%s came %d times", id, times)
		}
	}
}

func TestCommands(t *testing.T) {
	f := newFixture(t)
	f.create("dev")
	if err := f.SendCommand(dev, iot.Message{Body: []byte("before")}); err != nil {
		t.Fatal(err)
	}
	s := f.connect(dev, nil)
	var got []string
	sub, err := s.Commands(func(d iot.Delivery) {
		got = append(got, string(d.Message.Body))
		if err := s.Settle(t.Context(), d.LockToken, iot.Complete); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	sub.Grant(10)
	if err := f.SendCommand(dev, iot.Message{Body: []byte("after")}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"before", "after"}, got); diff != "" || f.CommandCount(dev) != 0 {
		t.Errorf("%s %d commands left", diff, f.CommandCount(dev))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.SendCommand(dev, iot.Message{Body: []byte("late")}); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || f.CommandCount(dev) != 1 {
		t.Errorf("after the device left: got %v, %d kept", got, f.CommandCount(dev))
	}
}
