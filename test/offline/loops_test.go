package offline

import (
	"fmt"
	"strings"
	"testing"

	"sluice/internal/await"
	"sluice/internal/gateway"
	"sluice/internal/gateway/meter"
	"sluice/iot"
)

// circle has a message go from devices to one module, from there to another, and
// back again.
const circle = `{"properties":{"desired":{"routes":{
	"in": "FROM /messages/* WHERE NOT is_defined($connectionModuleId) INTO BrokeredEndpoint(\"/modules/filter/inputs/in\")",
	"there": "FROM /messages/modules/filter/* INTO BrokeredEndpoint(\"/modules/judge/inputs/in\")",
	"back": "FROM /messages/modules/judge/* WHERE again = 'yes' INTO BrokeredEndpoint(\"/modules/filter/inputs/in\")",
	"up": "FROM /messages/modules/judge/* WHERE NOT is_defined(again) INTO $upstream"
}}}}`

// passOn has a module pass on what it gets, with its properties, as the SDKs'
// samples do. It reports every delivery.
func (s *site) passOn(module iot.Session, deliveries chan<- iot.Message) {
	s.t.Helper()
	got := make(chan iot.Delivery, 100)
	sub, err := module.Inputs(func(d iot.Delivery) { got <- d })
	s.must(err)
	sub.Grant(100)
	go func() {
		for d := range got {
			m := iot.Message{Body: d.Message.Body, Properties: append(iot.Properties(nil), d.Message.Properties...)}
			deliveries <- iot.Message{Body: m.Body, Properties: append(iot.Properties(nil), m.Properties...)}
			module.Send([]iot.Message{m}, func(err error) {
				if err == nil {
					_ = module.Settle(s.t.Context(), d.LockToken, iot.Complete) // or the test has ended
				}
			})
		}
	}()
	s.t.Cleanup(func() {
		s.stop() // nothing is delivered any more
		close(got)
	})
}

func TestEdgeHubW18_AMessageThatGoesRoundIsStoppedAndCounted(t *testing.T) {
	s := newSite(t)
	s.online()
	judge := iot.ModuleIdentity("edge", "judge")
	s.create(moduleOf(judge))
	s.deploy(circle, 200)
	device := s.connect(leaf)
	seen := make(chan iot.Message, 1000)
	s.passOn(s.connect(filter), seen)
	s.passOn(s.connect(judge), seen)

	// One that goes through both once is not stopped, and the hub is told nothing of
	// the steps.
	s.send(device, "", "once")
	if got := s.events(1); strings.Join(got, ", ") != "edge/judge once" {
		t.Errorf("the hub has %v", got)
	}
	first, second := receive(t, seen), receive(t, seen)
	if _, told := first.Properties.Get("sluice-hops"); told {
		t.Errorf("a device's own message came with %v", first.Properties)
	}
	if hops, _ := second.Properties.Get("sluice-hops"); hops != "1" {
		t.Errorf("after one module it came with %v", second.Properties)
	}
	for _, p := range s.messages(1)[0].Properties {
		if strings.Contains(p.Key, "hops") {
			t.Errorf("the hub has the property %v", p)
		}
	}

	// A device cannot shorten the life of what it sends, nor can a loop go on.
	m := iot.Message{Body: []byte("again"), Properties: iot.Properties{{Key: "again", Value: "yes"}, {Key: "Sluice-Hops", Value: "65000"}}}
	done := make(chan error, 1)
	device.Send([]iot.Message{m}, func(err error) { done <- err })
	s.must(receive(t, done))
	await.Success(s.t, "stopped", func() error {
		if n := s.gateway.Counts().Looped.Load(); n != 1 {
			return fmt.Errorf("%d were stopped, want 1", n)
		}
		return nil
	})
	if n := len(seen); n != gateway.DefaultMaxHops+1 {
		t.Errorf("it was delivered %d times, want %d", n, gateway.DefaultMaxHops+1)
	}
	var dropped uint64
	for _, page := range s.gateway.Meters().Pages() {
		for _, v := range page.Values {
			if v.Series.Quantity == meter.MessagesDropped && v.Series.Reason == "loop" {
				dropped += v.Count
			}
		}
	}
	if dropped != 1 {
		t.Errorf("counted %d times, want once", dropped)
	}
	s.send(device, "", "after")
	if got := s.events(2); got[len(got)-1] != "edge/judge after" {
		t.Errorf("the hub has %v", got)
	}
}
