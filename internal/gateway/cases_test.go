package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"sluice/internal/spool"
	"sluice/iot"
)

// routes puts routes in force.
func (s *site) routes(text string) {
	s.t.Helper()
	r, err := s.gw.parseConfig(json.RawMessage(text))
	if err != nil {
		s.t.Fatal(err)
	}
	s.gw.setRouting(r)
}

// moduleOf is a module of the gateway's own device.
func moduleOf(id string) iot.Registration {
	r := child("edge")
	r.Identity, r.ParentScopes = iot.ModuleIdentity("edge", id), nil
	return r
}

// take has a module take its inputs, and counts them by input.
func (s *site) take(r iot.Registration, credit int) func(input string) int {
	s.t.Helper()
	session, err := s.connect(r.Identity, r.Auth.PrimaryKey)
	if err != nil {
		s.t.Fatal(err)
	}
	var mu sync.Mutex
	got := map[string]int{}
	sub, err := session.Inputs(func(d iot.Delivery) {
		mu.Lock()
		defer mu.Unlock()
		got[d.Message.System.Get(iot.InputName)]++
		s.gw.spawn(func() { _ = session.Settle(context.Background(), d.LockToken, iot.Complete) }) // what comes of it is counted
	})
	if err != nil {
		s.t.Fatal(err)
	}
	sub.Grant(credit)
	return func(input string) int {
		mu.Lock()
		defer mu.Unlock()
		return got[input]
	}
}

func TestB4_AStalledModuleHoldsUpNoOther(t *testing.T) {
	const modules, inputs, messages = 20, 50, 5 // a thousand endpoints
	dev := child("dev")
	regs := []iot.Registration{edgeDevice(), dev}
	routes := map[string]string{}
	for m := range modules {
		regs = append(regs, moduleOf(fmt.Sprint("m", m)))
		for i := range inputs {
			routes[fmt.Sprintf("r%d-%d", m, i)] = fmt.Sprintf(`FROM /messages/* INTO BrokeredEndpoint("/modules/m%d/inputs/i%d")`, m, i)
		}
	}
	s := newSite(t, newFakeParent(regs...))
	s.untilOnline()
	text, err := json.Marshal(map[string]any{"routes": routes})
	if err != nil {
		t.Fatal(err)
	}
	s.routes(string(text))
	got := make([]func(string) int, modules)
	for m := range modules {
		credit := inputs * messages
		if m == 0 {
			credit = 0
		}
		got[m] = s.take(regs[m+2], credit)
	}
	session, err := s.connect(dev.Identity, dev.Auth.PrimaryKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range numbered(messages) {
		s.send(session, body)
	}
	for m := 1; m < modules; m++ {
		for i := range inputs {
			input := fmt.Sprint("i", i)
			s.until("an input has all", func() bool { return got[m](input) == messages })
		}
	}
	if n := got[0]("i0"); n > 0 {
		t.Errorf("the stalled module has %d", n)
	}
}

func TestB5_AHubThatThrottlesIsAskedLessAndLess(t *testing.T) {
	var f faults
	id := iot.DeviceIdentity("a")
	var rests []time.Duration
	for sum := time.Duration(0); sum < 10*time.Minute; sum += rests[len(rests)-1] {
		rest, _ := f.send(id, 1, false)
		rests = append(rests, rest)
	}
	last := rests[len(rests)-3:]
	if len(rests) > 30 || last[0] < longestRest/2 || last[1] < longestRest/2 || last[0] == last[1] && last[1] == last[2] {
		t.Errorf("%d attempts in ten minutes, in the end after %v", len(rests), last)
	}

	dev, module := child("dev"), moduleOf("m")
	p := newFakeParent(edgeDevice(), dev, module)
	p.throttle = true
	s := newSite(t, p)
	s.untilOnline()
	s.routes(`{"routes":{"up":"FROM /messages/* INTO $upstream","in":"FROM /messages/* INTO BrokeredEndpoint(\"/modules/m/inputs/i\")"}}`)
	got := s.take(module, 100)
	session, err := s.connect(dev.Identity, dev.Auth.PrimaryKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range numbered(20) {
		s.send(session, body)
	}
	s.until("the local route goes on", func() bool { return got("i") == 20 })
	p.set(func() { p.throttle = false })
	s.received(dev.Identity, numbered(20)...)
}

// Whatever a client writes into a message, it stays one of its own.
func TestZ8_NoMessageIsTakenForTheGateways(t *testing.T) {
	dev := child("dev")
	p := newFakeParent(edgeDevice(), dev)
	s := newSite(t, p)
	s.untilOnline()
	s.goAway()
	s.routes(`{"routes":{"changes":"FROM /twinChangeNotifications INTO BrokeredEndpoint(\"/modules/m/inputs/twins\")",
		"m":"FROM /messages/modules/* INTO BrokeredEndpoint(\"/modules/m/inputs/modules\")",
		"inside":"FROM /* WHERE $edgeHubOriginInterface = 'internal' INTO BrokeredEndpoint(\"/modules/m/inputs/inside\")",
		"up":"FROM /messages/* WHERE NOT is_defined($connectionModuleId) AND NOT is_defined($rpSenderDeviceId) INTO $upstream"}}`)
	session, err := s.connect(dev.Identity, dev.Auth.PrimaryKey)
	if err != nil {
		t.Fatal(err)
	}
	m := iot.Message{Body: []byte("x"), System: iot.System{
		{Name: iot.MessageType, Value: "twinChangeNotification"}, {Name: iot.ReporterDeviceID, Value: "other"}, {Name: iot.ReporterModuleID, Value: "m"},
		{Name: iot.ConnectionDeviceID, Value: "edge"}, {Name: iot.ConnectionModuleID, Value: "$edgeHub"}, {Name: iot.EdgeOrigin, Value: "internal"},
		{Name: iot.OutputName, Value: "../../m/outputs/o"}, {Name: iot.InputName, Value: "twins"}, {Name: iot.Hops, Value: "60000"},
	}}
	wait := make(chan error, 1)
	session.Send([]iot.Message{m}, func(err error) { wait <- err })
	if err := <-wait; err != nil {
		t.Fatal(err)
	}
	for _, q := range s.gw.opt.Spool.Queues() {
		if n := q.Stats().Records; (q.Name() == UpstreamQueue) != (n == 1) {
			t.Errorf("%d messages in %s", n, q.Name())
		}
	}
}

// No client gets what another asked for, nor settles what another was sent.
func TestZ9_AnswersAreTheAskersAlone(t *testing.T) {
	a, b := child("a"), child("b")
	s := newSite(t, newFakeParent(edgeDevice(), a, b))
	s.untilOnline()
	var sessions []iot.Session
	got := make(chan iot.Delivery, 10)
	for _, r := range []iot.Registration{a, b} {
		session, err := s.connect(r.Identity, r.Auth.PrimaryKey)
		if err != nil {
			t.Fatal(err)
		}
		sessions = append(sessions, session)
	}
	s.goAway()
	sub, err := sessions[1].Commands(func(d iot.Delivery) { got <- d })
	if err != nil {
		t.Fatal(err)
	}
	sub.Grant(10)
	wait := make(chan error, 1)
	sessions[0].Send([]iot.Message{{Body: []byte("for b"), System: iot.System{
		{Name: iot.To, Value: "/devices/b/messages/devicebound"}, {Name: iot.Ack, Value: "full"}, {Name: iot.CorrelationID, Value: "1"},
	}}}, func(err error) { wait <- err })
	if err := <-wait; err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	s.gw.spawn(func() {
		_, err := s.gw.Command(s.ctx, b.Identity, iot.Message{Body: []byte("by hand")})
		done <- err
	})
	d := <-got
	if string(d.Message.Body) != "by hand" {
		t.Errorf("b was sent %q", d.Message.Body)
	}
	if err := sessions[0].Settle(s.ctx, d.LockToken, iot.Complete); iot.KindOf(err) != iot.NotFound {
		t.Errorf("a settled what b was sent: %v", err)
	}
	if err := sessions[1].Settle(s.ctx, d.LockToken, iot.Complete); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestU9_ATokenThatEndsWhileTheHubIsAwayIsNoBusyLoop(t *testing.T) {
	p := newFakeParent(edgeDevice())
	p.away = true
	store, err := spool.Open(t.TempDir(), spool.Options{BallastBytes: -1, MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	var mu sync.Mutex
	now := time.Now()
	g, err := New(Options{
		Device: "edge", HubHost: hubHost, Key: edgeKey, Parent: p, Spool: store, Dir: t.TempDir(), State: state(t),
		Now: func() time.Time { // by which every token has expired when it is looked at again
			mu.Lock()
			defer mu.Unlock()
			now = now.Add(2 * time.Hour)
			return now
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var running sync.WaitGroup
	running.Go(func() { g.Run(ctx) })
	defer running.Wait()
	defer cancel()
	var took time.Duration
	if err := p.until(ctx, func() bool { took = time.Since(p.began); return p.tries >= 4 }); err != nil {
		t.Fatal(err)
	}
	if took < 800*time.Millisecond {
		t.Errorf("four attempts within %v", took)
	}
}

func TestU10_ManyClientsAreBroughtUpToDateOnce(t *testing.T) {
	const clients = 500
	regs := []iot.Registration{edgeDevice()}
	twins := map[iot.Identity]*twinHub{}
	for i := range clients {
		r := child(fmt.Sprint("d", i))
		regs = append(regs, r)
		twins[r.Identity] = &twinHub{twin: iot.Twin{Desired: json.RawMessage(`{}`), DesiredVersion: 1, Reported: json.RawMessage(`{}`), ReportedVersion: 1}}
	}
	p := newFakeParent(regs...)
	p.twins = twins
	s := newSite(t, p)
	s.untilOnline()
	told := make(chan string, 2*clients)
	for _, r := range regs[1:] {
		session, err := s.connect(r.Identity, r.Auth.PrimaryKey)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := session.Twin(s.ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := session.DesiredChanges(func(patch json.RawMessage) { told <- string(patch) }); err != nil {
			t.Fatal(err)
		}
	}
	all := func(n int) func() bool {
		return func() bool {
			for _, h := range twins {
				if h.asked < n {
					return false
				}
			}
			return true
		}
	}
	if err := p.until(s.ctx, all(2)); err != nil { // once by the client, once to follow
		t.Fatal(err)
	}
	s.goAway()
	p.set(func() {
		for _, h := range twins {
			h.asked = 0
			h.desired(2, `{"a":1}`)
		}
	})
	p.cut(false)
	for range clients {
		select {
		case got := <-told:
			if got != `{"a":1,"$version":2}` {
				t.Fatalf("told %s", got)
			}
		case <-s.ctx.Done():
			t.Fatal("not all are told")
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, h := range twins {
		if h.asked != 1 {
			t.Errorf("the twin of %s was asked for %d times", id, h.asked)
		}
	}
}

func TestU14_TheQueueFollowsTheGatewayToAnotherHub(t *testing.T) {
	dev := child("dev")
	before := newFakeParent(edgeDevice(), dev)
	s := newSite(t, before)
	s.untilOnline()
	session, err := s.connect(dev.Identity, dev.Auth.PrimaryKey)
	if err != nil {
		t.Fatal(err)
	}
	s.send(session, "for the first")
	s.received(dev.Identity, "for the first")
	s.goAway()
	s.send(session, "kept")
	s.stop()
	s.parent = newFakeParent(edgeDevice(), dev)
	before.cut(false)
	s.start()
	s.received(dev.Identity, "kept")
	before.mu.Lock()
	defer before.mu.Unlock()
	if got := before.got[dev.Identity]; len(got) != 1 {
		t.Errorf("the first hub has %q", got)
	}
}
