// Package translate tests identity translation whole: a real hub and a real gateway
// in this process, the identity module between them and a translator, and a cloud
// that answers the module's requests.
package translate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/await"
	"sluice/internal/gateway"
	"sluice/internal/gateway/gatewaytest"
	"sluice/internal/hub"
	"sluice/internal/hub/hubtest"
	"sluice/internal/hub/storage"
	"sluice/internal/leafwire"
	"sluice/internal/moduleclient"
	"sluice/internal/translate"
	"sluice/iot"
)

var (
	itm     = iot.ModuleIdentity("edge", "itm")
	ptm     = iot.ModuleIdentity("edge", "ptm")
	edgeHub = iot.ModuleIdentity("edge", iot.EdgeHubModule)
)

// routes are those of the documentation.
const routes = `{"properties":{"desired":{"schemaVersion": "1.1", "routes": {
	"up": "FROM /messages/modules/ptm/outputs/* INTO BrokeredEndpoint(\"/modules/itm/inputs/itminput\")",
	"other": "FROM /messages/modules/other/outputs/* INTO BrokeredEndpoint(\"/modules/itm/inputs/itminput\")",
	"events": "FROM /messages/modules/itm/outputs/itmoutput INTO $upstream",
	"down": "FROM /messages/modules/itm/outputs/itmdown WHERE moduleId = 'ptm' INTO BrokeredEndpoint(\"/modules/ptm/inputs/leaf\")",
	"leaves": "FROM /messages/* WHERE NOT IS_DEFINED($connectionModuleId) INTO $upstream"
}}}}`

// A site is a hub, a gateway, an identity module and a translator.
type site struct {
	t       testing.TB
	name    string // host name of the hub
	log     *slog.Logger
	hub     *hub.Hub
	devices storage.Identities
	events  storage.Events
	scope   string // of the edge device
	edgeKey iot.Secret

	dir         string
	state       *vfs.MemFS // of the gateway
	gateway     atomic.Pointer[gateway.Gateway]
	stopGateway func()

	leaves     *vfs.MemFS // of the module
	change     func(*translate.Options)
	module     *translate.Module
	stopModule func()

	client       func(iot.Identity) *moduleclient.Client // of a module
	moduleClient func() *moduleclient.Client             // of the identity module
	cloud        *cloud
}

// newSite starts a site in memory, with changes to the module's options.
func newSite(t testing.TB, change func(*translate.Options)) *site {
	t.Helper()
	return newSiteWith(t, func(s *site) { s.change = change })
}

func newSiteWith(t testing.TB, change func(*site)) *site {
	t.Helper()
	s := prepare(t)
	change(s)
	h := hubtest.Start(t, s.name)
	s.hub, s.devices, s.events = h.Hub, h.Devices, h.Events
	s.populate()
	s.startGateway()
	s.begin()
	return s
}

func prepare(t testing.TB) *site {
	level := slog.LevelWarn
	if testing.Verbose() {
		level = slog.LevelInfo
	}
	s := &site{
		t: t, name: "hub.local", dir: t.TempDir(), state: vfs.NewMem(), leaves: vfs.NewMem(),
		log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: level})),
	}
	s.client = s.clientInMemory
	s.moduleClient = func() *moduleclient.Client { return s.client(itm) }
	return s
}

// populate registers the gateway and its modules, and deploys the routes.
func (s *site) populate() {
	s.t.Helper()
	edge := s.create(device("edge", func(e *storage.Entry) { e.Edge = true }))
	s.edgeKey, s.scope = edge.Auth.PrimaryKey, edge.Scope
	for _, id := range []iot.Identity{itm, ptm, iot.ModuleIdentity("edge", "other")} {
		e := storage.Entry{}
		e.Identity, e.Enabled = id, true
		s.create(e)
	}
	_, err := s.hub.PatchTwin(edgeHub, json.RawMessage(routes), "")
	s.must(err)
}

// begin waits for the gateway, and starts cloud and module.
func (s *site) begin() {
	s.t.Helper()
	await.Success(s.t, "the routes are in force", func() error {
		var reported struct {
			Status struct{ Code int } `json:"lastDesiredStatus"`
		}
		twin, err := s.hub.Twin(edgeHub)
		if err == nil {
			err = json.Unmarshal(twin.Reported.JSON(), &reported)
		}
		if err == nil && reported.Status.Code != 200 {
			err = fmt.Errorf("reported %s", twin.Reported.JSON())
		}
		return err
	})
	s.cloud = newCloud(s)
	s.startModule()
}

func device(id string, change func(*storage.Entry)) storage.Entry {
	e := storage.Entry{}
	e.Identity, e.Enabled = iot.DeviceIdentity(id), true
	change(&e)
	return e
}

func (s *site) create(e storage.Entry) storage.Entry {
	s.t.Helper()
	created, err := s.devices.Create(e)
	s.must(err)
	return created[0]
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) startGateway() {
	s.t.Helper()
	g, stop := gatewaytest.Start(s.t, s.state, gateway.Options{
		Device: "edge", HubHost: s.name, Key: s.edgeKey, Parent: s.hub, Dir: s.dir,
	})
	s.gateway.Store(g.Gateway)
	s.stopGateway = stop
}

// A front is the gateway of the moment.
type front struct{ s *site }

func (f front) Connect(ctx context.Context, creds iot.Credentials, client iot.Client) (iot.Session, error) {
	return f.s.gateway.Load().Connect(ctx, creds, client)
}

// clientInMemory is the way of a module to a gateway in this process.
func (s *site) clientInMemory(id iot.Identity) *moduleclient.Client {
	return s.clientOver(front{s}, id)
}

func (s *site) clientOver(hub iot.Hub, id iot.Identity) *moduleclient.Client {
	s.t.Helper()
	e, _ := s.devices.Get(id)
	c, err := moduleclient.Over(hub, moduleclient.Environment{Identity: id, Hub: s.name, Key: e.Auth.PrimaryKey}, moduleclient.Options{})
	s.must(err)
	return c
}

// fast makes everything that waits wait less.
var fast = translate.Patience{
	AskAgain: 2 * time.Second, AskLongest: 4 * time.Second, Refusal: time.Hour, Doubt: 200 * time.Millisecond,
	Retry: 20 * time.Millisecond, RetryLongest: 200 * time.Millisecond,
}

// restartGateway has the gateway forget what it knows, but for what is on disk, and
// look at its scope anew.
func (s *site) restartGateway() {
	s.t.Helper()
	s.stopGateway()
	s.startGateway()
}

func (s *site) startModule() {
	s.t.Helper()
	store, err := translate.OpenStoreIn(s.leaves, "module", slog.New(slog.DiscardHandler), func(err error) { s.t.Error(err) })
	s.must(err)
	client := s.moduleClient()
	opt := translate.Options{Gateway: client, Kept: store.Kept, State: store.State, Log: s.log, Patience: fast, RegisterRate: 1e6}
	if s.change != nil {
		s.change(&opt)
	}
	s.module, err = translate.New(opt)
	s.must(err)
	m := s.module
	stop := await.Run(func(ctx context.Context) { s.must(m.Run(ctx)) })
	s.stopModule = sync.OnceFunc(func() {
		stop()
		client.Close()
		s.must(store.Close())
	})
	s.t.Cleanup(func() { s.stopModule() })
}

func (s *site) restartModule() {
	s.t.Helper()
	s.stopModule()
	s.startModule()
}

// A translator is a module that speaks for leaves.
type translator struct {
	s       *site
	id      iot.Identity
	session iot.Session
	client  *moduleclient.Client
	down    chan iot.Message // what the module told it; nil unless listening
	sub     iot.Subscription
}

// translator connects a translator; buffer is how much it can be told before it
// looks, 0 if it is not to listen.
func (s *site) translator(id iot.Identity, buffer int) *translator {
	s.t.Helper()
	t := &translator{s: s, id: id, client: s.client(id)}
	var err error
	await.Success(s.t, "the translator connects", func() error {
		t.session, err = t.client.Connect(s.t.Context(), iot.Client{})
		return err
	})
	s.t.Cleanup(t.close)
	if buffer == 0 {
		return t
	}
	t.down = make(chan iot.Message, buffer)
	t.sub, err = t.session.Inputs(func(d iot.Delivery) {
		t.down <- d.Message
		go func() { // a delivery must not settle itself
			_ = t.session.Settle(context.Background(), d.LockToken, iot.Complete)
			t.sub.Grant(1)
		}()
	})
	s.must(err)
	t.sub.Grant(16)
	return t
}

func (t *translator) close() {
	_ = t.session.Close()
	t.client.Close()
}

func (t *translator) route(leaf string) leafwire.Route {
	return leafwire.Route{Leaf: leaf, Module: t.id.Module}
}

// say sends messages to the identity module, and waits until the gateway has them.
func (t *translator) say(msgs ...iot.Message) {
	t.s.t.Helper()
	for i := range msgs {
		msgs[i].System.Set(iot.OutputName, "out")
	}
	done := make(chan error, 1)
	t.session.Send(msgs, func(err error) { done <- err })
	t.s.must(await.Value(t.s.t, done, "the gateway takes messages"))
}

// tell sends telemetry of a leaf.
func (t *translator) tell(leaf string, bodies ...string) {
	t.s.t.Helper()
	for _, b := range bodies {
		t.say(t.route(leaf).Telemetry(iot.Message{Body: []byte(b)}))
	}
}

// hears waits for a message of a type for a leaf.
func (t *translator) hears(leaf, kind string) iot.Message {
	t.s.t.Helper()
	for {
		m := await.Value(t.s.t, t.down, kind)
		r, err := leafwire.RouteOf(&m)
		got, kindErr := leafwire.Type(&m)
		t.s.must(errors.Join(err, kindErr))
		if r.Leaf == leaf && got == kind {
			return m
		}
	}
}
