package gateway

import (
	"encoding/json"
	"testing"

	"sluice/internal/gateway/meter"
	"sluice/iot"
)

// counted is what a series of an identity has come to.
func (s *site) counted(id string, series meter.Series) (v meter.Value) {
	for _, page := range s.gw.Meters().Pages() {
		for _, v := range page.Values {
			if page.ID == id && v.Series == series {
				return v
			}
		}
	}
	return v
}

// count checks how often something was counted.
func (s *site) count(id string, want uint64, series meter.Series) {
	s.t.Helper()
	if got := s.counted(id, series).Count; got != want {
		s.t.Errorf("%s: %+v counted %d times, want %d", id, series, got, want)
	}
}

func TestEveryStepOfAMessageIsCounted(t *testing.T) {
	dev := child("dev")
	s := newSite(t, newFakeParent(edgeDevice(), dev))
	s.untilOnline()
	session, err := s.connect(dev.Identity, dev.Auth.PrimaryKey)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.connect(dev.Identity, edgeKey); err == nil {
		t.Fatal("a wrong key")
	}
	if _, err := s.connect(iot.DeviceIdentity("stranger"), edgeKey); err == nil {
		t.Fatal("a stranger")
	}
	for range 3 {
		s.send(session, "twelve bytes")
	}
	s.received(dev.Identity, "twelve bytes", "twelve bytes", "twelve bytes")
	sent := meter.Series{Quantity: meter.MessagesSent, Peer: toUpstream, Priority: 2_000_000_000}
	s.until("counted as sent", func() bool { return s.counted("dev", sent).Count == 3 })
	s.count("dev", 1, meter.Series{Quantity: meter.Connects})
	s.count("dev", 1, meter.Series{Quantity: meter.ConnectsFailed, Reason: "not_authenticated"})
	s.count("", 1, meter.Series{Quantity: meter.ConnectsFailed, Reason: "not_authenticated"})
	s.count("dev", 3, meter.Series{Quantity: meter.MessagesReceived})
	s.until("measured", func() bool {
		return s.counted("dev", meter.Series{Quantity: meter.ProcessDuration, Peer: toUpstream, Priority: 2_000_000_000}).Count == 3
	})
	if v := s.counted("dev", meter.Series{Quantity: meter.MessageSize}); v.Count != 3 || v.Sum != 36 {
		t.Errorf("sizes: %+v", v)
	}
	if v := s.counted("dev", meter.Series{Quantity: meter.SendDuration, Peer: toUpstream}); v.Count == 0 {
		t.Error("no time of sending")
	}

	s.goAway()
	s.parent.cut(false)
	s.untilOnline()
	s.count("edge/$edgeHub", 1, meter.Series{Quantity: meter.OfflineCount})
	s.until("the time away is measured", func() bool {
		return s.counted("edge/$edgeHub", meter.Series{Quantity: meter.OfflineDuration}).Count == 1
	})
	_ = session.Close()
	s.until("left", func() bool { return s.counted("dev", meter.Series{Quantity: meter.Disconnects}).Count == 1 })
}

func TestTwinsAndMethodsAreCounted(t *testing.T) {
	dev := child("dev")
	s := newSite(t, newFakeParent(edgeDevice(), dev))
	s.untilOnline()
	session, err := s.connect(dev.Identity, dev.Auth.PrimaryKey)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := session.Twin(s.ctx); err != nil {
		t.Fatal(err)
	}
	s.goAway()
	if _, err := session.Twin(s.ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := session.PatchReported(s.ctx, json.RawMessage(`{"a":1}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.gw.Invoke(s.ctx, dev.Identity, iot.MethodCall{Name: "m"}); iot.KindOf(err) != iot.NotFound {
		t.Fatal(err)
	}
	s.count("dev", 1, meter.Series{Quantity: meter.TwinsRead, Peer: toUpstream})
	s.count("dev", 1, meter.Series{Quantity: meter.TwinsRead, Peer: atEdgeHub})
	s.count("dev", 1, meter.Series{Quantity: meter.ReportsTaken, Peer: atEdgeHub})
	s.count("dev", 1, meter.Series{Quantity: meter.MethodsCalled, Peer: operator})
}

// A gateway that has never heard from its hub cannot say that somebody is not
// registered: devices give up at that, and come again when told that it is not there.
func TestEdgeHubW19_BeforeTheHubHasSpokenNobodyIsUnauthorized(t *testing.T) {
	dev := child("dev")
	parent := newFakeParent(edgeDevice(), dev)
	parent.away = true
	s := newSite(t, parent)
	if _, err := s.connect(dev.Identity, dev.Auth.PrimaryKey); iot.KindOf(err) != iot.Unavailable {
		t.Errorf("before: %v", err)
	}
	parent.cut(false)
	s.untilOnline()
	if _, err := s.connect(iot.DeviceIdentity("stranger"), edgeKey); iot.KindOf(err) != iot.Unauthorized {
		t.Errorf("after: %v", err)
	}
}

func TestModulesAreCountedByRoute(t *testing.T) {
	module := func(name string) iot.Registration {
		r := child("edge")
		r.Identity = iot.ModuleIdentity("edge", name)
		return r
	}
	from, to := module("camera"), module("filter")
	s := newSite(t, newFakeParent(edgeDevice(), from, to))
	s.untilOnline()
	r, err := s.gw.parseConfig(json.RawMessage(`{"routes":{"r":{"route":"FROM /messages/modules/camera/outputs/raw INTO BrokeredEndpoint(\"/modules/filter/inputs/in\")","priority":3}}}`))
	if err != nil {
		t.Fatal(err)
	}
	s.gw.setRouting(r)
	camera, err := s.connect(from.Identity, from.Auth.PrimaryKey)
	if err != nil {
		t.Fatal(err)
	}
	filter, err := s.connect(to.Identity, to.Auth.PrimaryKey)
	if err != nil {
		t.Fatal(err)
	}
	settled := make(chan error, 1)
	sub, err := filter.Inputs(func(d iot.Delivery) { settled <- filter.Settle(s.ctx, d.LockToken, iot.Complete) })
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	sub.Grant(10)
	wait := make(chan error, 1)
	camera.Send([]iot.Message{
		{System: iot.System{{Name: iot.OutputName, Value: "raw"}}, Body: []byte("x")},
		{System: iot.System{{Name: iot.OutputName, Value: "unheard"}}, Body: []byte("y")},
	}, func(err error) { wait <- err })
	if err := <-wait; err != nil {
		t.Fatal(err)
	}
	if err := <-settled; err != nil {
		t.Fatal(err)
	}
	const id = "edge/camera"
	s.count(id, 1, meter.Series{Quantity: meter.MessagesReceived, Output: "raw"})
	s.count(id, 1, meter.Series{Quantity: meter.MessagesReceived, Output: "unheard"})
	s.count(id, 1, meter.Series{Quantity: meter.MessagesDropped, Reason: noRoute, Output: "unheard"})
	s.count(id, 1, meter.Series{Quantity: meter.MessagesSent, Peer: "edge/filter", Output: "raw", Input: "in", Priority: 3})
	s.count(id, 1, meter.Series{Quantity: meter.SendDuration, Peer: "edge/filter", Output: "raw", Input: "in"})
	s.count(id, 1, meter.Series{Quantity: meter.ProcessDuration, Peer: "edge/filter", Priority: 3})
}
