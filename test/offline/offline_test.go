package offline

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"sluice/internal/await"
	"sluice/internal/hub/code"
	"sluice/iot"
)

func TestU1_D19_CommandsReachTheDevice(t *testing.T) {
	s := newSite(t)
	s.online()
	s.must(s.hub.SendCommand(leaf, iot.Message{Body: []byte("before it came")}))
	device := s.connect(leaf)
	got := make(chan iot.Delivery, 10)
	sub, err := device.Commands(func(d iot.Delivery) { got <- d })
	s.must(err)
	sub.Grant(10)
	first := receive(t, got)
	if string(first.Message.Body) != "before it came" {
		t.Errorf("got %q", first.Message.Body)
	}
	s.must(device.Settle(t.Context(), first.LockToken, iot.Complete))
	s.must(s.hub.SendCommand(leaf, iot.Message{Body: []byte("while it was there")}))
	second := receive(t, got)
	s.must(device.Settle(t.Context(), second.LockToken, iot.Reject))
	await.Success(s.t, "settled at the hub", func() error {
		if n := s.hub.CommandCount(leaf); n > 0 {
			return fmt.Errorf("%d commands left", n)
		}
		return nil
	})

	// One that was not settled when the line was cut comes again; its old lock
	// is nothing any more.
	s.must(s.hub.SendCommand(leaf, iot.Message{Body: []byte("cut off")}))
	third := receive(t, got)
	s.cut()
	if err := device.Settle(t.Context(), third.LockToken, iot.Complete); err == nil {
		t.Error("settled without a hub")
	}
	s.mend()
	again := receive(t, got)
	if string(again.Message.Body) != "cut off" || again.Count != 1 {
		t.Errorf("got %q, delivered %d times before", again.Message.Body, again.Count)
	}
	s.must(device.Settle(t.Context(), again.LockToken, iot.Complete))
}

// Commands of a device that is away stay at the hub.
func TestEdgeHubW16_CommandsOfADeviceThatLeftStayAtTheHub(t *testing.T) {
	s := newSite(t)
	s.online()
	device := s.connect(leaf)
	got := make(chan iot.Delivery, 10)
	sub, err := device.Commands(func(d iot.Delivery) { got <- d })
	s.must(err)
	sub.Grant(1)
	s.must(s.hub.SendCommand(leaf, iot.Message{Body: []byte("a")}))
	receive(t, got)
	s.must(device.Close())
	back := s.connect(leaf)
	sub, err = back.Commands(func(d iot.Delivery) { got <- d })
	s.must(err)
	sub.Grant(1)
	if d := receive(t, got); d.Count != 1 || string(d.Message.Body) != "a" {
		t.Errorf("got %+v", d)
	}
}

func TestMethodsReachTheDevice(t *testing.T) {
	s := newSite(t)
	s.online()
	call := iot.MethodCall{Name: "reboot", Payload: json.RawMessage(`{"in":5}`), ConnectTimeout: await.Patience}
	if _, err := s.hub.InvokeMethod(t.Context(), leaf, iot.MethodCall{Name: "reboot"}); code.Of(err) != code.DeviceNotOnline {
		t.Errorf("nobody there: %v", err)
	}
	device := s.connect(leaf)
	_, err := device.Methods(func(c iot.MethodCall, reply func(iot.MethodResult)) {
		go reply(iot.MethodResult{Status: 202, Payload: c.Payload})
	})
	s.must(err)
	for _, what := range []string{"at first", "after a break"} {
		got, err := s.hub.InvokeMethod(t.Context(), leaf, call)
		if err != nil || got.Status != 202 || string(got.Payload) != `{"in":5}` {
			t.Errorf("%s: %+v, %v", what, got, err)
		}
		s.cut()
		s.mend()
	}
	s.must(device.Close())
}

func TestAModuleCallsMethodsWithoutAHub(t *testing.T) {
	s := newSite(t)
	s.online()
	device, module := s.connect(leaf), s.connect(iot.ModuleIdentity("edge", "filter"))
	_, err := device.Methods(func(_ iot.MethodCall, reply func(iot.MethodResult)) { reply(iot.MethodResult{Status: 200}) })
	s.must(err)
	s.cut()
	got, err := module.InvokeMethod(t.Context(), leaf, iot.MethodCall{Name: "x"})
	if err != nil || got.Status != 200 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := device.InvokeMethod(t.Context(), leaf, iot.MethodCall{Name: "x"}); iot.KindOf(err) != iot.Forbidden {
		t.Errorf("a device called a method: %v", err)
	}
	if _, err := module.InvokeMethod(t.Context(), iot.DeviceIdentity("stranger"), iot.MethodCall{Name: "x"}); iot.KindOf(err) != iot.NotFound {
		t.Errorf("a stranger was called: %v", err)
	}
}

func patch(t *testing.T, s *site, text string) {
	t.Helper()
	_, err := s.hub.PatchTwin(leaf, json.RawMessage(text), "")
	s.must(err)
}

func TestW6_U1_TwinOfflineAndBack(t *testing.T) {
	s := newSite(t)
	s.online()
	patch(t, s, `{"properties":{"desired":{"interval":10}}}`)
	device := s.connect(leaf)
	changes := make(chan string, 10)
	_, err := device.DesiredChanges(func(p json.RawMessage) { changes <- string(p) })
	s.must(err)
	before, err := device.Twin(t.Context())
	if err != nil || string(before.Desired) != `{"interval":10}` || before.DesiredVersion != 2 {
		t.Fatalf("twin %+v, %v", before, err)
	}
	if _, err := device.PatchReported(t.Context(), json.RawMessage(`{"firmware":"1"}`)); err != nil {
		t.Fatal(err)
	}

	s.cut()
	patch(t, s, `{"properties":{"desired":{"interval":20}}}`)
	patch(t, s, `{"properties":{"desired":{"mode":"slow"}}}`)
	version, err := device.PatchReported(t.Context(), json.RawMessage(`{"firmware":"2","errors":0}`))
	if err != nil || version != 3 {
		t.Errorf("reported while away: version %d, %v; want 3", version, err)
	}
	if _, err := device.PatchReported(t.Context(), json.RawMessage(`{"errors":null}`)); err != nil {
		t.Error(err)
	}
	if _, err := device.PatchReported(t.Context(), json.RawMessage(`"nonsense"`)); iot.KindOf(err) != iot.Invalid {
		t.Errorf("nonsense reported while away: %v", err)
	}
	away, err := device.Twin(t.Context())
	if err != nil || string(away.Desired) != `{"interval":10}` || string(away.Reported) != `{"firmware":"2"}` {
		t.Errorf("twin while away: %s %s, %v", away.Desired, away.Reported, err)
	}

	// The device leaves, and the gateway is restarted, before the hub is back.
	s.must(device.Close())
	s.restartGateway()
	s.mend()
	await.Success(s.t, "what was reported is at the hub", func() error {
		twin, err := s.hub.Twin(leaf)
		if err == nil && string(twin.Reported.JSON()) != `{"firmware":"2"}` {
			err = fmt.Errorf("reported is %s", twin.Reported.JSON())
		}
		return err
	})
	device = s.connect(leaf)
	_, err = device.DesiredChanges(func(p json.RawMessage) { changes <- string(p) })
	s.must(err)
	if got, want := receive(t, changes), `{"interval":20,"mode":"slow","$version":4}`; got != want {
		t.Errorf("missed changes came as %s, want %s", got, want)
	}
	patch(t, s, `{"properties":{"desired":{"mode":null}}}`)
	if got, want := receive(t, changes), `{"mode":null,"$version":5}`; got != want {
		t.Errorf("the next change came as %s, want %s", got, want)
	}
	select {
	case again := <-changes:
		t.Errorf("told again: %s", again)
	default:
	}
}

func TestEdgeHubW14_ATwinThatWasNeverSeen(t *testing.T) {
	s := newSite(t)
	s.online()
	s.connect(leaf) // it is known, its twin is not
	s.cut()
	device := s.connect(leaf)
	if _, err := device.Twin(t.Context()); iot.KindOf(err) != iot.Unavailable {
		t.Errorf("error %v, want Unavailable", err)
	}
	if _, err := device.PatchReported(t.Context(), json.RawMessage(`{"a":1}`)); err != nil {
		t.Errorf("reported: %v", err)
	}
	s.mend()
	await.Success(s.t, "what was reported is at the hub", func() error {
		twin, err := s.hub.Twin(leaf)
		if err == nil && string(twin.Reported.JSON()) != `{"a":1}` {
			err = errors.New(string(twin.Reported.JSON()))
		}
		return err
	})
}
