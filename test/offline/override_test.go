package offline

import (
	"encoding/json"
	"testing"

	"sluice/iot"
)

func TestDesiredPropertiesAreOverriddenAtTheSite(t *testing.T) {
	s := newSite(t)
	s.online()
	patch(t, s, `{"properties":{"desired":{"interval":10,"mode":"auto"}}}`)
	device := s.connect(leaf)
	changes := s.changesOf(device)
	_, err := device.Twin(t.Context())
	s.must(err)
	s.cut()
	override := func(text string) {
		t.Helper()
		var p json.RawMessage
		if text != "" {
			p = json.RawMessage(text)
		}
		s.must(s.gateway.Override(t.Context(), leaf, p))
	}
	told := func(want string) {
		t.Helper()
		if got := receive(t, changes); got != want {
			t.Errorf("told %s, want %s", got, want)
		}
	}
	sees := func(want string, version int64) {
		t.Helper()
		got, err := device.Twin(t.Context())
		if err != nil || string(got.Desired) != want || got.DesiredVersion != version {
			t.Errorf("it sees %s in version %d, %v; want %s in version %d", got.Desired, got.DesiredVersion, err, want, version)
		}
	}
	override(`{"interval":5,"mode":null}`)
	told(`{"interval":5,"mode":null,"$version":2}`)
	sees(`{"interval":5}`, 2)

	// The hub's changes are told but for what is overridden, with its version; over a
	// restart too.
	patch(t, s, `{"properties":{"desired":{"interval":20,"level":1}}}`)
	s.restartGateway()
	s.mend()
	device = s.connect(leaf)
	changes = s.changesOf(device)
	told(`{"level":1,"$version":3}`)
	sees(`{"interval":5,"level":1}`, 3)
	patch(t, s, `{"properties":{"desired":{"interval":30,"level":2}}}`)
	told(`{"level":2,"$version":4}`)
	v, err := s.gateway.Twin(t.Context(), leaf)
	if err != nil || string(v.Desired) != `{"interval":30,"level":2,"mode":"auto"}` || string(v.Override) != `{"interval":5,"mode":null}` {
		t.Errorf("the operator sees %+v, %v", v, err)
	}
	if hub, err := s.hub.Twin(leaf); err != nil || hub.Desired.Version() != 4 {
		t.Errorf("the hub has version %d, %v", hub.Desired.Version(), err)
	}
	override("")
	told(`{"interval":30,"mode":"auto","$version":4}`)
	sees(`{"interval":30,"level":2,"mode":"auto"}`, 4)
	if err := s.gateway.Override(t.Context(), leaf, json.RawMessage(`{"a.b":1}`)); iot.KindOf(err) != iot.Invalid {
		t.Errorf("what cannot be: %v", err)
	}
	if err := s.gateway.Override(t.Context(), iot.DeviceIdentity("nobody"), nil); iot.KindOf(err) != iot.NotFound {
		t.Errorf("who cannot be: %v", err)
	}
}
