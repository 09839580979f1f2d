package offline

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/await"
	"sluice/internal/hub/code"
	"sluice/internal/twin"
	"sluice/iot"
)

// A condition that no value meets by its types is refused like a route that cannot be
// read, also as the first that a gateway ever hears of.
func TestEdgeHubW12_AConditionThatIsWrongIsReportedAndNothingBreaks(t *testing.T) {
	const wrong = `{"properties":{"desired":{"routes":{"bad":"FROM /messages/* WHERE level > 5 INTO $upstream"}}}}`
	s := newSite(t)
	s.stop()
	_, err := s.hub.PatchTwin(edgeHub, json.RawMessage(wrong), "")
	s.must(err)
	s.disk = vfs.NewMem() // of a gateway that starts for the first time
	s.startGateway()
	s.online()
	s.deploy(wrong, 400)
	s.send(s.connect(leaf), "", "as by default")
	s.events(1)
	s.deploy(`{"properties":{"desired":{"routes":{"bad":"FROM /messages/* WHERE as_number(level) > 5 INTO $upstream"}}}}`, 200)
	s.deploy(wrong, 400)
	s.restartGateway()
	s.online()
	device := s.connect(leaf)
	s.send(device, "", "no level")
	if n := s.gateway.Counts().Unrouted.Load(); n != 1 {
		t.Errorf("%d messages went nowhere, want 1: the last good route holds", n)
	}
}

// changesOf subscribes to desired properties.
func (s *site) changesOf(session iot.Session) chan string {
	s.t.Helper()
	changes := make(chan string, 100)
	_, err := session.DesiredChanges(func(p json.RawMessage) { changes <- string(p) })
	s.must(err)
	return changes
}

// A subscriber is told what it missed, though it never asked for its twin, and however
// short the break was. One that first subscribes while the hub is away missed all.
func TestEdgeHubW14_ASubscriberGetsWhatItMissed(t *testing.T) {
	s := newSite(t)
	s.online()
	device := s.connect(leaf)
	changes := s.changesOf(device)
	await.Success(s.t, "the twin is known", func() error { return s.knows(leaf) })
	s.line.cut()
	patch(t, s, `{"properties":{"desired":{"interval":20}}}`)
	s.line.mend()
	if got, want := receive(t, changes), `{"interval":20,"$version":2}`; got != want {
		t.Errorf("after a short break it was told %s, want %s", got, want)
	}
	s.cut()
	module := s.connect(filter)
	late := s.changesOf(module)
	_, err := s.hub.PatchTwin(filter, json.RawMessage(`{"properties":{"desired":{"level":1}}}`), "")
	s.must(err)
	s.mend()
	if got, want := receive(t, late), `{"level":1,"$version":2}`; got != want {
		t.Errorf("the late one was told %s, want %s", got, want)
	}
}

// knows reports whether the gateway has seen a twin.
func (s *site) knows(id iot.Identity) error {
	_, err := s.gateway.Twin(s.t.Context(), id)
	return err
}

// The hub's caller is told that a method was not answered, not that it succeeded.
func TestEdgeHubW17_AMethodWithoutAnswerIsATimeoutAtTheHub(t *testing.T) {
	t.Parallel() // it waits for five seconds, the shortest time that a call may have
	s := newSite(t)
	s.online()
	device := s.connect(leaf)
	late := make(chan func(iot.MethodResult), 1)
	_, err := device.Methods(func(_ iot.MethodCall, reply func(iot.MethodResult)) { late <- reply })
	s.must(err)
	call := iot.MethodCall{Name: "x", ResponseTimeout: 5e9, ConnectTimeout: await.Patience}
	if r, err := s.hub.InvokeMethod(t.Context(), leaf, call); code.Of(err) != code.GatewayTimeout {
		t.Errorf("a silent device: %+v, %v", r, err)
	}
	receive(t, late)(iot.MethodResult{Status: 200}) // W4: too late, and ignored
	s.must(device.Close())
	await.Success(s.t, "the hub says that nobody is there", func() error {
		r, err := s.hub.InvokeMethod(t.Context(), leaf, iot.MethodCall{Name: "x", ResponseTimeout: 5e9})
		if code.Of(err) != code.DeviceNotOnline {
			return fmt.Errorf("a device that left: %+v, %w", r, err)
		}
		return nil
	})
}

// After an outage what is urgent is sent before the backlog, and the rest in order.
func TestEdgeHubW24_B7_UrgentMessagesOvertakeTheBacklog(t *testing.T) {
	s := newSite(t)
	s.online()
	s.deploy(`{"properties":{"desired":{"routes":{
		"alarms": {"route": "FROM /messages/* WHERE alarm = 'yes' INTO $upstream", "priority": 0},
		"rest": "FROM /messages/* INTO $upstream"}}}}`, 200)
	s.cut()
	device := s.connect(leaf)
	const backlog = 200
	want := []string{"leaf alarm"}
	for n := range backlog {
		s.send(device, "", fmt.Sprint(n))
		want = append(want, fmt.Sprint("leaf ", n))
	}
	done := make(chan error, 1)
	device.Send([]iot.Message{{Body: []byte("alarm"), Properties: iot.Properties{{Key: "alarm", Value: "yes"}}}}, func(err error) { done <- err })
	s.must(receive(t, done))
	s.mend()
	if got := s.events(backlog + 1); !slices.Equal(got, want) {
		t.Errorf("the hub has, in this order, %v", got)
	}
}

// What a device reports while the hub is away comes to the same there, in one patch
// as far as one patch can say it.
func TestW2_B10_WhatWasReportedWhileAwayComesToTheSame(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 10))
	s := newSite(t)
	s.online()
	device := s.connect(leaf)
	s.report(device, `{"a":{"x":1},"b":"old","gone":true}`)
	_, err := device.Twin(t.Context())
	s.must(err)
	before, err := s.hub.Twin(leaf)
	s.must(err)
	model := before.Reported
	s.cut()
	values := []string{"null", "1", `"text"`, `{"x":null}`, `{"x":2,"y":{"z":[1,2]}}`, "{}"}
	for range 1000 {
		p := fmt.Sprintf(`{%q:%s}`, []string{"a", "b", "c", "gone"}[random.IntN(4)], values[random.IntN(len(values))])
		s.report(device, p)
		model, err = model.Merge(json.RawMessage(p), model.Updated())
		s.must(err)
	}
	s.mend()
	var after twin.Twin
	await.Success(s.t, "the same is reported at the hub", func() error {
		after, err = s.hub.Twin(leaf)
		if err == nil && !after.Reported.Equal(model) {
			err = fmt.Errorf("%s, want %s", after.Reported.JSON(), model.JSON())
		}
		return err
	})
	if n := after.Reported.Version() - before.Reported.Version(); n > 500 {
		t.Errorf("1000 patches were sent as %d", n)
	} else {
		t.Logf("1000 patches were sent as %d", n)
	}
}
