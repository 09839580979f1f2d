package offline

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/await"
	"sluice/iot"
)

// newCrashableSite is a site whose gateway is on a disk that can lose what was not
// synced.
func newCrashableSite(t *testing.T) *site {
	s := newSite(t)
	s.online()
	s.stop()
	s.disk = vfs.NewCrashableMem()
	s.startGateway()
	s.online()
	return s
}

// crash has the gateway lose its power now, keeping a part of what was not synced.
func (s *site) crash(percent int, random *rand.Rand) (reopen func()) {
	clone := s.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: random})
	return func() {
		s.t.Helper()
		s.stop() // the other gateway goes on, and nobody looks at what it does
		s.disk = clone
		s.startGateway()
	}
}

// waiting lists what waits in a queue.
func (s *site) waiting(queue string) (bodies []string) {
	s.t.Helper()
	q := s.gateway.Spool.Queue(queue)
	if q.Stats().Records == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), await.Patience)
	defer cancel()
	lease, err := q.Acquire(ctx)
	s.must(err)
	defer lease.Release(0)
	for {
		recs, err := lease.Read(1000, 1<<20)
		s.must(err)
		if len(recs) == 0 {
			return bodies
		}
		for _, r := range recs {
			var m iot.Message
			s.must(m.UnmarshalBinary(r.Data))
			bodies = append(bodies, string(m.Body))
		}
	}
}

// A sender sends numbers until it is stopped, and knows which were acknowledged.
type sender struct {
	mu    sync.Mutex
	acked map[string]bool
	some  chan struct{} // has a token when there are more
	stop  func()
}

func (s *site) sendAlways(device iot.Session) *sender {
	from := &sender{acked: map[string]bool{}, some: make(chan struct{}, 1)}
	from.stop = await.Run(func(ctx context.Context) {
		for n := 0; ctx.Err() == nil; n++ {
			body := fmt.Sprint(n)
			done := make(chan error, 1)
			device.Send([]iot.Message{{Body: []byte(body)}}, func(err error) { done <- err })
			if <-done != nil {
				return // the gateway ended
			}
			from.mu.Lock()
			from.acked[body] = true
			from.mu.Unlock()
			select {
			case from.some <- struct{}{}:
			default:
			}
		}
	})
	return from
}

// so far lists what was acknowledged.
func (f *sender) soFar() (acked []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for body := range f.acked {
		acked = append(acked, body)
	}
	return acked
}

// until waits until n were acknowledged.
func (f *sender) until(t *testing.T, n int) {
	t.Helper()
	for len(f.soFar()) < n {
		receive(t, f.some)
	}
}

// both sends what devices say to a module and to the hub.
const both = `{"properties":{"desired":{"routes":{
	"in": "FROM /messages/* INTO BrokeredEndpoint(\"/modules/filter/inputs/in\")",
	"up": "FROM /messages/* INTO $upstream"
}}}}`

// What was acknowledged is there after a power cut, for each endpoint: messages and
// patches of reported properties.
func TestEdgeHubW1_W2_D17_PowerCutsLoseNothingAcknowledged(t *testing.T) {
	for seed := range uint64(9) {
		s := newCrashableSite(t)
		s.deploy(both, 200)
		device := s.connect(leaf)
		_, err := device.Twin(t.Context())
		s.must(err)
		s.cut()
		random := rand.New(rand.NewPCG(seed, 0))
		from := s.sendAlways(device)
		var version int64
		patches := int(seed) + 1
		for i := range patches {
			version, err = device.PatchReported(t.Context(), json.RawMessage(fmt.Sprintf(`{"p%d":%d}`, i, i)))
			s.must(err)
		}
		from.until(t, 1+random.IntN(40))
		acked := from.soFar()
		reopen := s.crash([]int{0, 50, 100}[seed%3], random)
		from.stop()
		reopen()

		hub, module := s.waiting("iothub"), s.waiting("modules/filter/in")
		if fmt.Sprint(hub) != fmt.Sprint(module) {
			t.Errorf("seed %d: the hub is to get %v, the module %v", seed, hub, module)
		}
		there := map[string]bool{}
		for _, body := range hub {
			there[body] = true
		}
		for _, body := range acked {
			if !there[body] {
				t.Errorf("seed %d: %s was acknowledged and is lost", seed, body)
			}
		}
		v, err := s.gateway.Twin(t.Context(), leaf)
		var reported map[string]int
		if err != nil || json.Unmarshal(v.Reported, &reported) != nil || len(reported) != patches || v.ReportedVersion < version {
			t.Errorf("seed %d: reported %s in version %d, %v; want %d properties in version %d", seed, v.Reported, v.ReportedVersion, err, patches, version)
		}
		s.stop()
	}
}

// intoInput has devices' messages go to one input of a module that is away.
func intoInput(input string) string {
	return fmt.Sprintf(`{"properties":{"desired":{"routes":{"in": "FROM /messages/* INTO BrokeredEndpoint(\"/modules/filter/inputs/%s\")"}}}}`, input)
}

// Routes are exchanged again and again while messages come, and the power is cut at
// some moment of it: every message went by the old routes or the new ones, none by
// both, none by neither.
func TestEdgeHubW11_D20_RoutesAreExchangedAtOnce(t *testing.T) {
	for seed := range uint64(6) {
		s := newCrashableSite(t)
		s.deploy(intoInput("a"), 200)
		device := s.connect(leaf)
		random := rand.New(rand.NewPCG(seed, 1))
		from := s.sendAlways(device)
		for i := range 4 {
			from.until(t, len(from.soFar())+3)
			s.deploy(intoInput([]string{"b", "a"}[i%2]), 200)
		}
		_, err := s.hub.PatchTwin(edgeHub, json.RawMessage(intoInput("b")), "")
		s.must(err)
		from.until(t, len(from.soFar())+random.IntN(10))
		acked := from.soFar()
		reopen := s.crash([]int{0, 50, 100}[seed%3], random)
		from.stop()
		s.line.cut()
		reopen()

		times := map[string]int{}
		for _, input := range []string{"a", "b"} {
			for _, body := range s.waiting("modules/filter/" + input) {
				times[body]++
			}
		}
		for _, body := range acked {
			if times[body] == 0 {
				t.Errorf("seed %d: %s was acknowledged and went nowhere", seed, body)
			}
		}
		for body, n := range times {
			if n > 1 {
				t.Errorf("seed %d: %s went %d ways", seed, body, n)
			}
		}
		s.stop()
	}
}

// A queue that no route leads to any more, at a priority that none has, is drained,
// also after a restart.
func TestEdgeHubW7_TheQueueOfARouteThatIsGoneIsDrained(t *testing.T) {
	s := newSite(t)
	s.online()
	s.deploy(`{"properties":{"desired":{"routes":{
		"in": {"route": "FROM /messages/* INTO BrokeredEndpoint(\"/modules/filter/inputs/old\")", "priority": 3},
		"up": {"route": "FROM /messages/* INTO $upstream", "priority": 4}}}}}`, 200)
	device := s.connect(leaf)
	s.cut()
	s.send(device, "", "before")
	s.restartGateway()
	s.mend()
	s.deploy(`{"properties":{"desired":{"routes":{"in":null,"up":null,"new":"FROM /messages/* WHERE false INTO $upstream"}}}}`, 200)
	s.restartGateway()
	module := s.connect(filter)
	d := receive(t, s.listen(module, 1))
	if string(d.Message.Body) != "before" {
		t.Errorf("delivered %q", d.Message.Body)
	}
	s.must(module.Settle(t.Context(), d.LockToken, iot.Complete))
	if got := s.events(1); got[0] != "leaf before" {
		t.Errorf("the hub has %v", got)
	}
}

// What was delivered takes no room any more, without waiting for a cleanup; and what
// may wait for ever does.
func TestEdgeHubW5_W6_WhatIsDeliveredIsGoneAndWhatIsForEverStays(t *testing.T) {
	s := newSite(t)
	s.online()
	s.deploy(`{"properties":{"desired":{"routes":{
		"in": "FROM /messages/* INTO BrokeredEndpoint(\"/modules/filter/inputs/in\")",
		"up": {"route": "FROM /messages/* INTO $upstream", "timeToLiveSecs": 60}},
		"storeAndForwardConfiguration": {"timeToLiveSecs": -1}}}}`, 200)
	device := s.connect(leaf)
	s.cut()
	s.send(device, "", "x")
	for queue, forEver := range map[string]bool{"modules/filter/in": true, "iothub": false} {
		lease, err := s.gateway.Spool.Queue(queue).Acquire(t.Context())
		s.must(err)
		recs, err := lease.Read(1, 1<<20)
		s.must(err)
		if len(recs) != 1 || recs[0].Expires.IsZero() != forEver {
			t.Errorf("%s: expires %v", queue, recs)
		}
		lease.Release(0)
	}
	s.mend()
	module := s.connect(filter)
	d := receive(t, s.listen(module, 1))
	s.must(module.Settle(t.Context(), d.LockToken, iot.Complete))
	s.events(1)
	await.Success(s.t, "no bytes are stored", func() error {
		if n := s.gateway.Spool.Stats().Bytes; n != 0 {
			return fmt.Errorf("%d bytes are", n)
		}
		return nil
	})
}

// A message that comes while the gateway has nothing to do is on its way at once,
// however often: none waits for somebody to look.
func TestEdgeHubW10_NoMessageWaitsToBeNoticed(t *testing.T) {
	s := newSite(t)
	s.online()
	s.deploy(guide, 200)
	device, module := s.connect(leaf), s.connect(filter)
	got := s.listen(module, 1000)
	for n := range 300 {
		began := time.Now()
		s.send(device, "", fmt.Sprint(n))
		d := receive(t, got)
		s.must(module.Settle(t.Context(), d.LockToken, iot.Complete))
		if took := time.Since(began); took > 9*time.Second {
			t.Fatalf("message %d took %v", n, took)
		}
	}
}

// A deployment that was in force is in force after a power cut, before the hub is
// reached: what devices send meanwhile does not go other ways. And what devices were
// told of twins does not go back.
func TestD17_D20_DeploymentsAndTwinsSurviveAPowerCut(t *testing.T) {
	s := newCrashableSite(t)
	s.deploy(intoInput("a"), 200)
	patch(t, s, `{"properties":{"desired":{"interval":10}}}`)
	device := s.connect(leaf)
	changes := s.changesOf(device)
	before, err := device.Twin(t.Context())
	s.must(err)
	s.report(device, `{"firmware":"1"}`)
	patch(t, s, `{"properties":{"desired":{"interval":20}}}`)
	for got := ""; got != `{"interval":20,"$version":3}`; {
		got = receive(t, changes)
	}
	reopen := s.crash(0, nil)
	s.line.cut()
	reopen()
	device = s.connect(leaf)
	s.send(device, "", "after")
	if got := s.waiting("modules/filter/a"); len(got) != 1 {
		t.Errorf("the module is to get %v", got)
	}
	after, err := device.Twin(t.Context())
	if err != nil || after.DesiredVersion != 3 || string(after.Desired) != `{"interval":20}` ||
		after.ReportedVersion <= before.ReportedVersion || string(after.Reported) != `{"firmware":"1"}` {
		t.Errorf("%+v, %v", after, err)
	}
}
