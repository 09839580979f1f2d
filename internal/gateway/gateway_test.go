package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"sluice/internal/sas"
	"sluice/internal/spool"
	"sluice/iot"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	hubHost   = "hub.test"
	edgeScope = "ms-azure-iot-edge://edge-1"
)

var edgeKey = sas.NewKey()

// child is a device in the gateway's scope.
func child(id string) iot.Registration {
	return iot.Registration{
		Identity: iot.DeviceIdentity(id), Enabled: true, ParentScopes: []string{edgeScope},
		Auth: iot.Authentication{Type: iot.AuthSAS, PrimaryKey: sas.NewKey(), SecondaryKey: sas.NewKey()},
	}
}

func edgeDevice() iot.Registration {
	return iot.Registration{
		Identity: iot.DeviceIdentity("edge"), Enabled: true, Edge: true, Scope: edgeScope,
		Auth: iot.Authentication{Type: iot.AuthSAS, PrimaryKey: edgeKey},
	}
}

// site is a running gateway and what is around it.
type site struct {
	t      *testing.T
	ctx    context.Context
	parent *fakeParent
	gw     *Gateway
	dir    string
	stop   func()
}

func newSite(t *testing.T, parent *fakeParent) *site {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	s := &site{t: t, ctx: ctx, parent: parent, dir: t.TempDir()}
	s.start()
	t.Cleanup(func() { s.stop() })
	return s
}

func (s *site) start() {
	s.t.Helper()
	store, err := spool.Open(filepath.Join(s.dir, "spool"), spool.Options{BallastBytes: -1, MinFree: -1})
	if err != nil {
		s.t.Fatal(err)
	}
	s.gw, err = New(Options{
		Device: "edge", HubHost: hubHost, Hosts: []string{"gateway.test"}, Key: edgeKey,
		Parent: s.parent, Spool: store, Dir: s.dir, Lanes: 8, State: state(s.t),
		Log: slog.New(slog.NewTextHandler(s.t.Output(), nil)),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.ctx)
	var wg sync.WaitGroup
	wg.Go(func() { s.gw.Run(ctx) })
	s.stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		if err := store.Close(); err != nil {
			s.t.Error(err)
		}
	})
}

func (s *site) restart() {
	s.t.Helper()
	s.stop()
	s.start()
}

func (s *site) untilOnline() {
	s.t.Helper()
	if !s.gw.uplink.online.wait(s.ctx) {
		s.t.Fatal("not online in time")
	}
	s.until("the scope is there", func() bool { n, _ := s.gw.scope.Len(); return n > 0 })
}

// until waits for a condition that nothing announces.
func (s *site) until(what string, ok func() bool) {
	s.t.Helper()
	for !ok() {
		select {
		case <-s.ctx.Done():
			s.t.Fatalf("%s: not in time", what)
		case <-time.After(time.Millisecond):
		}
	}
}

// connect logs a device in with a token signed by key.
func (s *site) connect(id iot.Identity, key iot.Secret) (iot.Session, error) {
	return s.connectAs(id, key, iot.Client{Protocol: "test"})
}

func (s *site) connectAs(id iot.Identity, key iot.Secret, client iot.Client) (iot.Session, error) {
	token, err := sas.Sign(key, sas.Resource{Host: hubHost, Identity: id}, "", time.Now().Add(time.Hour))
	if err != nil {
		s.t.Fatal(err)
	}
	return s.gw.Connect(s.ctx, iot.Credentials{Identity: id, Token: token}, client)
}

// send sends one message and waits until it is safe.
func (s *site) send(session iot.Session, body string) {
	s.t.Helper()
	wait := make(chan error, 1)
	session.Send([]iot.Message{{Body: []byte(body)}}, func(err error) { wait <- err })
	if err := <-wait; err != nil {
		s.t.Fatalf("send %q: %v", body, err)
	}
}

func (s *site) received(id iot.Identity, want ...string) {
	s.t.Helper()
	err := s.parent.until(s.ctx, func() bool { return len(s.parent.got[id]) >= len(want) })
	s.parent.mu.Lock()
	defer s.parent.mu.Unlock()
	if got := s.parent.got[id]; err != nil || !slices.Equal(got, want) {
		s.t.Fatalf("the hub has %q of %s, want %q (%v)", got, id, want, err)
	}
}

func numbered(n int) (bodies []string) {
	for i := range n {
		bodies = append(bodies, fmt.Sprint(i))
	}
	return bodies
}

func TestMessagesReachTheHubInOrderUnderTheirSendersIdentity(t *testing.T) {
	a, b := child("a"), child("b")
	s := newSite(t, newFakeParent(edgeDevice(), a, b))
	s.untilOnline()
	for _, r := range []iot.Registration{a, b} {
		session, err := s.connect(r.Identity, r.Auth.PrimaryKey)
		if err != nil {
			t.Fatal(err)
		}
		for _, body := range numbered(200) {
			s.send(session, body)
		}
	}
	s.received(a.Identity, numbered(200)...)
	s.received(b.Identity, numbered(200)...)
	if got := s.parent.creds[a.Identity].AuthChain; got != "a;edge" {
		t.Errorf("auth chain %q, want %q", got, "a;edge")
	}
}

// The hub learns the plug and play model of a device behind the gateway, as of others.
func TestTheHubLearnsTheModelOfADevice(t *testing.T) {
	const model = "dtmi:com:example:Thermostat;1"
	a := child("a")
	s := newSite(t, newFakeParent(edgeDevice(), a))
	s.untilOnline()
	session, err := s.connectAs(a.Identity, a.Auth.PrimaryKey, iot.Client{Protocol: "test", ModelID: model})
	if err != nil {
		t.Fatal(err)
	}
	s.send(session, "1")
	s.received(a.Identity, "1")
	s.parent.mu.Lock()
	defer s.parent.mu.Unlock()
	models := map[iot.Identity]string{}
	for at := range s.parent.sessions {
		models[at.id] = at.client.ModelID
	}
	if own := iot.ModuleIdentity("edge", iot.EdgeHubModule); models[a.Identity] != model || models[own] != "" {
		t.Errorf("announced as %v", models)
	}
}

// Lanes that outnumber the workers take turns, and each of them gets on.
func TestManyMoreSendersThanWorkers(t *testing.T) {
	const senders, each = 40, 30 // of 8 workers
	regs := []iot.Registration{edgeDevice()}
	for i := range senders {
		regs = append(regs, child(fmt.Sprint("device-", i)))
	}
	s := newSite(t, newFakeParent(regs...))
	s.untilOnline()
	s.parent.cut(true)
	for _, r := range regs[1:] {
		session, err := s.connect(r.Identity, r.Auth.PrimaryKey)
		if err != nil {
			t.Fatal(err)
		}
		for _, body := range numbered(each) {
			s.send(session, body)
		}
	}
	s.parent.cut(false)
	for _, r := range regs[1:] {
		s.received(r.Identity, numbered(each)...)
	}
}

func TestU2_MessagesSurviveARestartWithoutAHub(t *testing.T) {
	a := child("a")
	s := newSite(t, newFakeParent(edgeDevice(), a))
	s.untilOnline()
	s.parent.cut(true)
	session, err := s.connect(a.Identity, a.Auth.PrimaryKey)
	if err != nil {
		t.Fatal(err)
	}
	s.send(session, "before the restart")
	s.restart()
	session, err = s.connect(a.Identity, a.Auth.PrimaryKey)
	if err != nil {
		t.Fatalf("a known device, the hub away: %v", err)
	}
	s.send(session, "after the restart")
	s.parent.cut(false)
	s.received(a.Identity, "before the restart", "after the restart")
}

func TestU8_AMessageThatTheHubNeverTakesBecomesADeadLetter(t *testing.T) {
	a := child("a")
	p := newFakeParent(edgeDevice(), a)
	p.poison = "poison"
	s := newSite(t, p)
	s.untilOnline()
	p.cut(true)
	session, err := s.connect(a.Identity, a.Auth.PrimaryKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{"1", "poison", "2"} {
		s.send(session, body)
	}
	p.cut(false)
	s.received(a.Identity, "1", "2")
	if n := s.gw.Counts().Dead.Load(); n != 1 {
		t.Errorf("%d dead letters, want 1", n)
	}
}

func TestEdgeHubW8_ARefusedIdentityHoldsUpNobodyElse(t *testing.T) {
	a, b := child("a"), child("b")
	p := newFakeParent(edgeDevice(), a, b)
	p.refused[a.Identity] = true
	s := newSite(t, p)
	s.untilOnline()
	for _, r := range []iot.Registration{a, b} {
		session, err := s.connect(r.Identity, r.Auth.PrimaryKey)
		if err != nil {
			t.Fatal(err)
		}
		s.send(session, "from "+r.Identity.Device)
	}
	s.received(b.Identity, "from b")
	p.set(func() { p.refused[a.Identity] = false })
	s.received(a.Identity, "from a")
}

func TestMessagesOfARemovedSenderBecomeDeadLetters(t *testing.T) {
	a := child("a")
	p := newFakeParent(edgeDevice(), a)
	s := newSite(t, p)
	s.untilOnline()
	p.cut(true)
	session, err := s.connect(a.Identity, a.Auth.PrimaryKey)
	if err != nil {
		t.Fatal(err)
	}
	s.send(session, "too late")
	p.set(func() { p.regs, p.refused[a.Identity] = p.regs[:1], true })
	p.cut(false)
	s.until("the message is dead", func() bool { return s.gw.Counts().Dead.Load() == 1 })
}

func TestS9_DisabledAndRemovedIdentitiesAreCutOffAtTheRefresh(t *testing.T) {
	a, b, c := child("a"), child("b"), child("c")
	p := newFakeParent(edgeDevice(), a, b, c)
	s := newSite(t, p)
	s.untilOnline()
	ended := make(chan string, 3)
	for _, r := range []iot.Registration{a, b, c} {
		token, _ := sas.Sign(r.Auth.PrimaryKey, sas.Resource{Host: hubHost, Identity: r.Identity}, "", time.Now().Add(time.Hour))
		_, err := s.gw.Connect(s.ctx, iot.Credentials{Identity: r.Identity, Token: token}, iot.Client{
			Ended: func(reason error) { ended <- r.Identity.Device + ": " + reason.(*iot.Error).Detail },
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	p.set(func() {
		a.Enabled = false
		c.ETag = "changed, and still allowed"
		p.regs = []iot.Registration{edgeDevice(), a, c}
	})
	if err := s.gw.scope.Refresh(s.ctx); err != nil {
		t.Fatal(err)
	}
	got := []string{<-ended, <-ended}
	slices.Sort(got)
	want := []string{"a: the identity was disabled", "b: the identity was removed"}
	if !slices.Equal(got, want) {
		t.Errorf("ended %q, want %q", got, want)
	}
	if n := s.gw.Clients(); n != 1 {
		t.Errorf("%d clients left, want 1", n)
	}
}

func TestANewDeviceIsKnownAtItsFirstConnection(t *testing.T) {
	p := newFakeParent(edgeDevice())
	s := newSite(t, p)
	s.untilOnline()
	a := child("a")
	p.set(func() { p.regs = append(p.regs, a) })
	if _, err := s.connect(a.Identity, a.Auth.PrimaryKey); err != nil {
		t.Error(err)
	}
}

func TestStrangersDoNotMakeTheGatewayALoadOnItsHub(t *testing.T) {
	p := newFakeParent(edgeDevice())
	s := newSite(t, p)
	s.untilOnline()
	for i := range 2000 {
		id := iot.DeviceIdentity(fmt.Sprintf("stranger%d", i))
		if _, err := s.connect(id, edgeKey); iot.KindOf(err) != iot.Unauthorized {
			t.Fatalf("a stranger got %v", err)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lookups > 200 {
		t.Errorf("2000 unknown identities caused %d lookups", p.lookups)
	}
}

func TestL2_OneSessionOfAnIdentitySurvives(t *testing.T) {
	a := child("a")
	s := newSite(t, newFakeParent(edgeDevice(), a))
	s.untilOnline()
	token, _ := sas.Sign(a.Auth.PrimaryKey, sas.Resource{Host: hubHost, Identity: a.Identity}, "", time.Now().Add(time.Hour))
	var wg sync.WaitGroup
	var mu sync.Mutex
	takenOver := 0
	for range 100 {
		wg.Go(func() {
			_, err := s.gw.Connect(s.ctx, iot.Credentials{Identity: a.Identity, Token: token}, iot.Client{Ended: func(reason error) {
				mu.Lock()
				defer mu.Unlock()
				if reason == error(iot.ErrTakenOver) {
					takenOver++
				}
			}})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	mu.Lock()
	defer mu.Unlock()
	if takenOver != 99 || s.gw.Clients() != 1 {
		t.Errorf("%d taken over, %d clients; want 99 and 1", takenOver, s.gw.Clients())
	}
}

func TestM13_EdgeHubW22_AMessageOverTheLimitIsNotAcknowledged(t *testing.T) {
	a := child("a")
	s := newSite(t, newFakeParent(edgeDevice(), a))
	s.untilOnline()
	session, err := s.connect(a.Identity, a.Auth.PrimaryKey)
	if err != nil {
		t.Fatal(err)
	}
	wait := make(chan error, 1)
	session.Send([]iot.Message{{Body: make([]byte, iot.MaxMessageSize+1)}}, func(err error) { wait <- err })
	if err := <-wait; iot.KindOf(err) != iot.TooLarge {
		t.Errorf("error %v, want too large", err)
	}
}

// state is a database in memory.
func state(t testing.TB) *pebble.DB {
	t.Helper()
	db, err := pebble.Open("", &pebble.Options{FS: vfs.NewMem(), Logger: silent{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

type silent struct{}

func (silent) Infof(string, ...any)              {}
func (silent) Errorf(string, ...any)             {}
func (silent) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
