package offline

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"sluice/internal/await"
	"sluice/internal/hub/storage"
	"sluice/iot"
)

var (
	filter  = iot.ModuleIdentity("edge", "filter")
	edgeHub = iot.ModuleIdentity("edge", iot.EdgeHubModule)
)

// guide is the deployment of Microsoft's guide to a module between devices and
// the hub.
const guide = `{"properties":{"desired":{
	"schemaVersion": "1.1",
	"routes": {
		"in": "FROM /messages/* WHERE NOT IS_DEFINED($connectionModuleId) INTO BrokeredEndpoint(\"/modules/filter/inputs/input1\")",
		"out": {"route": "FROM /messages/modules/filter/outputs/* INTO $upstream", "priority": 1}
	},
	"storeAndForwardConfiguration": {"timeToLiveSecs": 7200}
}}}`

// deploy sets the deployment, and waits for what the gateway says of it.
func (s *site) deploy(text string, wantCode int) {
	s.t.Helper()
	t, err := s.hub.PatchTwin(edgeHub, json.RawMessage(text), "")
	s.must(err)
	await.Success(s.t, "the deployment is reported", func() error {
		var got struct {
			Version int64 `json:"lastDesiredVersion"`
			Status  struct {
				Code        int
				Description string
			} `json:"lastDesiredStatus"`
		}
		now, err := s.hub.Twin(edgeHub)
		if err == nil {
			err = json.Unmarshal(now.Reported.JSON(), &got)
		}
		if err == nil && (got.Version != t.Desired.Version() || got.Status.Code != wantCode) {
			err = fmt.Errorf("reported %s, want version %d with %d", now.Reported.JSON(), t.Desired.Version(), wantCode)
		}
		return err
	})
}

func (s *site) send(from iot.Session, output string, bodies ...string) {
	s.t.Helper()
	for _, b := range bodies {
		m := iot.Message{Body: []byte(b)}
		m.System.Set(iot.OutputName, output)
		done := make(chan error, 1)
		from.Send([]iot.Message{m}, func(err error) { done <- err })
		s.must(receive(s.t, done))
	}
}

// events waits until the hub has n events, and lists them as sender and body.
func (s *site) events(n int) (list []string) {
	s.t.Helper()
	for _, m := range s.messages(n) {
		list = append(list, m.Sender().String()+" "+string(m.Body))
	}
	return list
}

// messages waits until the hub has n messages.
func (s *site) messages(n int) (list []iot.Message) {
	s.t.Helper()
	await.Success(s.t, "events at the hub", func() error {
		list = nil
		for p := range s.hub.Events.Partitions() {
			r, err := s.hub.Events.Reader(p, storage.Earliest())
			s.must(err)
			events, err := r.Poll(1000)
			s.must(err)
			for _, e := range events {
				list = append(list, e.Message)
			}
		}
		if len(list) < n {
			return fmt.Errorf("the hub has %d messages", len(list))
		}
		return nil
	})
	return list
}

// listen subscribes a module to its inputs.
func (s *site) listen(module iot.Session, credit int) chan iot.Delivery {
	s.t.Helper()
	got := make(chan iot.Delivery, 100)
	sub, err := module.Inputs(func(d iot.Delivery) { got <- d })
	s.must(err)
	sub.Grant(credit)
	return got
}

func TestAModuleBetweenDevicesAndTheHub(t *testing.T) {
	s := newSite(t)
	s.online()
	s.deploy(guide, 200)
	device, module := s.connect(leaf), s.connect(filter)
	got := s.listen(module, 10)
	s.send(device, "", "20", "21")
	for _, want := range []string{"20", "21"} {
		d := receive(t, got)
		if string(d.Message.Body) != want || d.Message.System.Get(iot.InputName) != "input1" || d.Message.Sender() != leaf {
			t.Errorf("delivered %+v, want %s of the leaf on input1", d.Message, want)
		}
		s.must(module.Settle(t.Context(), d.LockToken, iot.Complete))
		s.send(module, "output1", "filtered "+want)
	}
	if got := s.events(2); strings.Join(got, ", ") != "edge/filter filtered 20, edge/filter filtered 21" {
		t.Errorf("the hub has %v", got)
	}
	if n := s.gateway.Counts().Unrouted.Load(); n != 0 {
		t.Errorf("%d messages went nowhere", n)
	}
	s.send(module, "", "no output") // no route takes it
	if n := s.gateway.Counts().Unrouted.Load(); n != 1 {
		t.Errorf("%d messages went nowhere, want 1", n)
	}
}

func TestAModuleThatIsAwayMissesNothing(t *testing.T) {
	s := newSite(t)
	s.online()
	s.deploy(guide, 200)
	device := s.connect(leaf)
	s.send(device, "", "1", "2", "3")
	s.cut()
	s.restartGateway() // without a hub: the deployment is remembered
	device = s.connect(leaf)
	s.send(device, "", "4")

	module := s.connect(filter)
	got := s.listen(module, 2)
	first, second := receive(t, got), receive(t, got)
	s.must(module.Settle(t.Context(), first.LockToken, iot.Complete))
	s.must(module.Settle(t.Context(), second.LockToken, iot.Abandon))
	s.must(module.Close())
	if err := module.Settle(t.Context(), second.LockToken, iot.Complete); err == nil {
		t.Error("a session that has ended settled a delivery")
	}

	module = s.connect(filter)
	got = s.listen(module, 10)
	for _, want := range []string{"2", "3", "4"} {
		d := receive(t, got)
		if string(d.Message.Body) != want {
			t.Errorf("delivered %q, want %q", d.Message.Body, want)
		}
		s.must(module.Settle(t.Context(), d.LockToken, iot.Complete))
	}
}

func TestAbandonedAndRejectedInputs(t *testing.T) {
	s := newSite(t)
	s.online()
	s.deploy(guide, 200)
	device, module := s.connect(leaf), s.connect(filter)
	got := s.listen(module, 3)
	s.send(device, "", "a")
	d := receive(t, got)
	s.must(module.Settle(t.Context(), d.LockToken, iot.Abandon))
	d = receive(t, got)
	if d.Count != 1 || !d.Repeat || string(d.Message.Body) != "a" {
		t.Errorf("after it was abandoned: %+v", d)
	}
	s.must(module.Settle(t.Context(), d.LockToken, iot.Reject))
	if err := module.Settle(t.Context(), d.LockToken, iot.Complete); iot.KindOf(err) != iot.NotFound {
		t.Errorf("settled twice: %v", err)
	}
	if n := s.gateway.Counts().Dead.Load(); n != 1 {
		t.Errorf("%d dead letters, want 1", n)
	}
}

func TestL4_ABadDeploymentLeavesTheGoodOne(t *testing.T) {
	s := newSite(t)
	s.online()
	s.deploy(guide, 200)
	s.deploy(`{"properties":{"desired":{"routes":{"bad":"FROM /messages/* WHERE temperature >< 5 INTO $upstream"}}}}`, 400)
	device, module := s.connect(leaf), s.connect(filter)
	got := s.listen(module, 1)
	s.send(device, "", "x")
	if d := receive(t, got); string(d.Message.Body) != "x" {
		t.Errorf("delivered %q", d.Message.Body)
	}
	s.deploy(`{"properties":{"desired":{"routes":{"bad":null,"in":null,"out":"FROM /* INTO $upstream"}}}}`, 200)
	s.send(device, "", "y")
	if got := s.events(1); got[0] != "leaf y" {
		t.Errorf("the hub has %v", got)
	}
}

func TestOnlyModulesOfTheGatewayHaveInputs(t *testing.T) {
	s := newSite(t)
	s.online()
	if _, err := s.connect(leaf).Inputs(func(iot.Delivery) {}); iot.KindOf(err) != iot.NotFound {
		t.Errorf("error %v, want NotFound", err)
	}
}

func TestTheHubIsToldWhoIsConnected(t *testing.T) {
	t.Parallel() // it waits for what is told every few seconds
	s := newSite(t)
	s.online()
	device := s.connect(leaf)
	s.connect(filter)
	has := func(want string) func() error {
		return func() error {
			twin, err := s.hub.Twin(edgeHub)
			if err != nil {
				return err
			}
			var r struct {
				Clients map[string]struct{ Status string }
			}
			if err := json.Unmarshal(twin.Reported.JSON(), &r); err != nil {
				return err
			}
			if got := fmt.Sprint(r.Clients); got != want {
				return fmt.Errorf("clients are %s, want %s", got, want)
			}
			return nil
		}
	}
	await.Success(s.t, "both", has("map[edge/filter:{Connected} leaf:{Connected}]"))
	s.must(device.Close())
	await.Success(s.t, "the module", has("map[edge/filter:{Connected}]"))
}
