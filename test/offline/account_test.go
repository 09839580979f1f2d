package offline

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"

	"sluice/internal/await"
	"sluice/iot"
)

// An account is what a device was told, and what it answered, over all its sessions.
type account struct {
	s *site

	mu       sync.Mutex
	desired  map[string]any // merged from patches
	version  int64
	commands map[string]int // times completed
	calls    int
}

// open connects the device with everything that it takes.
func (a *account) open(id iot.Identity) iot.Session {
	s := a.s
	s.t.Helper()
	device := s.connect(id)
	_, err := device.DesiredChanges(a.changed)
	s.must(err)
	_, err = device.Methods(func(call iot.MethodCall, reply func(iot.MethodResult)) {
		a.mu.Lock()
		a.calls++
		a.mu.Unlock()
		reply(iot.MethodResult{Status: 200, Payload: call.Payload})
	})
	s.must(err)
	deliveries := make(chan iot.Delivery, 100)
	sub, err := device.Commands(func(d iot.Delivery) { deliveries <- d })
	s.must(err)
	sub.Grant(100)
	var taking sync.WaitGroup
	taking.Go(func() {
		for d := range deliveries {
			if device.Settle(s.t.Context(), d.LockToken, iot.Complete) == nil {
				a.mu.Lock()
				a.commands[string(d.Message.Body)]++
				a.mu.Unlock()
			}
		}
	})
	s.t.Cleanup(func() {
		s.stop() // nothing is delivered any more
		close(deliveries)
		taking.Wait()
	})
	return device
}

func (a *account) changed(patch json.RawMessage) {
	var p map[string]any
	if err := json.Unmarshal(patch, &p); err != nil {
		a.s.t.Errorf("%s: %v", patch, err)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	version, _ := p["$version"].(float64)
	if int64(version) <= a.version {
		a.s.t.Errorf("version %v came after %d", version, a.version)
	}
	a.version = int64(version)
	delete(p, "$version")
	for k, v := range p {
		a.desired[k] = v
	}
}

// The hub goes away and comes back, again and again, and the gateway is restarted
// meanwhile: every message, patch, call and command is accounted for.
func TestU1_EverythingIsAccountedFor(t *testing.T) {
	const rounds, each = 6, 10
	s := newSite(t)
	s.online()
	a := &account{s: s, desired: map[string]any{}, commands: map[string]int{}}
	device := a.open(leaf)
	_, err := device.Twin(t.Context())
	s.must(err)
	var want []string
	calls := 0
	for round := range rounds {
		work := func(phase string) {
			for n := range each {
				body := fmt.Sprintf("%d %s %d", round, phase, n)
				s.send(device, "", body)
				want = append(want, "leaf "+body)
			}
			s.report(device, fmt.Sprintf(`{"round":%d,"phase":%q,"r%d":{%q:true}}`, round, phase, round, phase))
			patch(t, s, fmt.Sprintf(`{"properties":{"desired":{"round":%d,%q:%d}}}`, round, phase, round))
			s.must(s.hub.SendCommand(leaf, iot.Message{Body: []byte(fmt.Sprint(phase, round))}))
		}
		work("before")
		s.cut()
		work("away")
		if round%2 == 1 {
			s.restartGateway()
			device = a.open(leaf)
			work("restarted")
		}
		call := iot.MethodCall{Name: "here", Payload: json.RawMessage("1")}
		if _, err := s.connect(filter).InvokeMethod(t.Context(), leaf, call); err != nil {
			t.Errorf("round %d: a call at the site: %v", round, err)
		}
		s.mend()
		call.ConnectTimeout = await.Patience
		if _, err := s.hub.InvokeMethod(t.Context(), leaf, call); err != nil {
			t.Errorf("round %d: a call of the hub: %v", round, err)
		}
		calls += 2
	}
	if got := s.events(len(want)); !slices.Equal(got, want) {
		t.Errorf("the hub has\n%q\nwant\n%q", got, want)
	}
	a.settled(rounds*2+rounds/2, calls)
}

// settled waits until the device and the hub agree about everything.
func (a *account) settled(commands, calls int) {
	s := a.s
	s.t.Helper()
	await.Success(s.t, "commands, calls and twins", func() error {
		t, err := s.hub.Twin(leaf)
		if err != nil {
			return err
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		told, err := json.Marshal(a.desired)
		if err != nil {
			return err
		}
		var reported struct {
			Round int
			Phase string
		}
		if err := json.Unmarshal(t.Reported.JSON(), &reported); err != nil {
			return err
		}
		waiting := s.hub.CommandCount(leaf)
		if len(a.commands) != commands || waiting > 0 || a.calls != calls || string(told) != string(t.Desired.JSON()) || reported.Phase != "restarted" {
			return fmt.Errorf("%d commands of %d, %d at the hub; %d calls of %d; told %s, want %s; reported %s",
				len(a.commands), commands, waiting, a.calls, calls, told, t.Desired.JSON(), t.Reported.JSON())
		}
		return nil
	})
}
