package offline

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/await"
	"sluice/internal/gateway"
	"sluice/internal/gateway/gatewaytest"
	"sluice/internal/hub/storage"
	"sluice/iot"
)

// below starts a gateway below another, or below the hub, and returns it with the
// line between the two.
func (s *site) below(parent iot.Parent, device storage.Entry) (*gatewaytest.Gateway, *line) {
	s.t.Helper()
	name := device.Identity.Device
	up := &line{Parent: parent, open: map[*lineSession]bool{}}
	g, _ := gatewaytest.Start(s.t, vfs.NewMem(), gateway.Options{
		Device: name, HubHost: hostName, Key: device.Auth.PrimaryKey, Parent: up,
	})
	return g, up
}

// A device is behind three gateways, one below the other.
func TestGatewaysBelowGateways(t *testing.T) {
	s := newSite(t)
	scope, parent := "", iot.Parent(s.hub)
	var lowest *gatewaytest.Gateway
	var lines []*line
	for i := range 3 {
		device := s.create(leafOf(fmt.Sprint("level-", i), func(e *storage.Entry) {
			e.Edge = true
			if scope != "" {
				e.ParentScopes = []string{scope}
			}
		}))
		var up *line
		lowest, up = s.below(parent, device)
		scope, parent = device.Scope, lowest
		lines = append(lines, up)
		await.Success(s.t, "online", func() error {
			if !lowest.Online() {
				return fmt.Errorf("level %d is offline", i)
			}
			return nil
		})
	}
	deep := iot.DeviceIdentity("deep")
	s.create(leafOf("deep", func(e *storage.Entry) { e.ParentScopes = []string{scope} }))
	s.gateway = lowest // whom connect connects to
	device := s.connect(deep)

	s.send(device, "", "1")
	lines[0].cut() // the highest loses the hub; the others do not notice
	s.send(device, "", "2")
	lines[1].cut()
	s.send(device, "", "3")
	lines[0].mend()
	lines[1].mend()
	if got := s.events(3); fmt.Sprint(got) != "[deep 1 deep 2 deep 3]" {
		t.Errorf("the hub has %v", got)
	}

	got := make(chan iot.Delivery, 1)
	sub, err := device.Commands(func(d iot.Delivery) { got <- d })
	s.must(err)
	sub.Grant(1)
	s.must(s.hub.SendCommand(deep, iot.Message{Body: []byte("down")}))
	s.must(device.Settle(t.Context(), receive(t, got).LockToken, iot.Complete))
	await.Success(s.t, "settled at the hub", func() error {
		if n := s.hub.CommandCount(deep); n > 0 {
			return fmt.Errorf("%d commands left", n)
		}
		return nil
	})

	_, err = device.Methods(func(c iot.MethodCall, reply func(iot.MethodResult)) {
		go reply(iot.MethodResult{Status: 200, Payload: c.Payload})
	})
	s.must(err)
	r, err := s.hub.InvokeMethod(t.Context(), deep, iot.MethodCall{Name: "x", Payload: json.RawMessage("1"), ConnectTimeout: await.Patience})
	if err != nil || string(r.Payload) != "1" {
		t.Errorf("method: %+v, %v", r, err)
	}

	if _, err := device.PatchReported(t.Context(), json.RawMessage(`{"depth":3}`)); err != nil {
		t.Fatal(err)
	}
	await.Success(s.t, "reported", func() error {
		twin, err := s.hub.Twin(deep)
		if err == nil && string(twin.Reported.JSON()) != `{"depth":3}` {
			err = fmt.Errorf("reported is %s", twin.Reported.JSON())
		}
		return err
	})
}

// A gateway is told of what is below it, and of nothing else.
func TestAScopeEndsAtItsGateway(t *testing.T) {
	s := newSite(t)
	s.online()
	upper, _ := s.hub.Devices.Get(iot.DeviceIdentity("edge"))
	lower := s.create(leafOf("lower", func(e *storage.Entry) { e.Edge, e.ParentScopes = true, []string{upper.Scope} }))
	s.create(leafOf("deep", func(e *storage.Entry) { e.ParentScopes = []string{lower.Scope} }))
	creds := func(id iot.Identity) iot.Credentials { return s.token(id) }
	hub := iot.ModuleIdentity("lower", iot.EdgeHubModule)
	var page iot.ScopePage
	await.Success(s.t, "the scope", func() (err error) {
		page, err = s.gateway.InScope(t.Context(), creds(hub), "")
		return err
	})
	if _, err := s.gateway.Lookup(t.Context(), creds(hub), iot.DeviceIdentity("deep")); err != nil {
		t.Errorf("a device below: %v", err)
	}
	for _, other := range []string{"leaf", "edge", "nobody"} {
		if _, err := s.gateway.Lookup(t.Context(), creds(hub), iot.DeviceIdentity(other)); iot.KindOf(err) != iot.NotFound {
			t.Errorf("%s: %v, want NotFound", other, err)
		}
	}
	for _, r := range page.Identities {
		if d := r.Identity.Device; d != "lower" && d != "deep" {
			t.Errorf("told of %s", r.Identity)
		}
	}
	if _, err := s.gateway.InScope(t.Context(), creds(leaf), ""); iot.KindOf(err) != iot.Forbidden {
		t.Errorf("a leaf asked: %v", err)
	}
}
