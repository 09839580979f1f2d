// Package killed kills hub, gateway, identity module and provisioning at any moment.
//
// All of it happens in one synctest bubble, so that the pauses of real life cost
// nothing. The database keeps channels in pools of the whole process, which no two
// bubbles may share: there is one test here, and it has a process to itself.
package killed

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/auth"
	"sluice/internal/await"
	"sluice/internal/eventhub"
	"sluice/internal/gateway"
	"sluice/internal/gateway/gatewaytest"
	"sluice/internal/hub"
	"sluice/internal/hub/hubtest"
	"sluice/internal/hub/rest"
	"sluice/internal/hub/storage"
	"sluice/internal/hubevent"
	"sluice/internal/moduleclient"
	"sluice/internal/provision"
	"sluice/internal/sas"
	"sluice/internal/service"
	"sluice/internal/translate"
	"sluice/iot"
)

// four are a hub, a gateway, the identity module and provisioning, each of which can
// be killed by itself and started from what its disk has then. Databases lose what was
// not synced; what the gateway's scope and provisioning's journal keep are plain files,
// which a killed process leaves behind as they are.
type four struct {
	t      *testing.T
	log    *slog.Logger
	chance *rand.Rand // of the one who kills
	fuse   atomic.Pointer[fuse]
	parts  []*part

	hubDisk, gatewayDisk, moduleDisk *vfs.MemFS
	scopeDir, journalDir             string
	atHub                            atomic.Pointer[server]
	atGateway                        atomic.Pointer[server]
	atCounter                        atomic.Pointer[counter]
	atLog                            atomic.Pointer[newsstand]

	hub          *hub.Hub
	devices      storage.Identities
	events       storage.Events
	module       *translate.Module
	provisioning *provision.Service
	patience     translate.Patience

	scope   string // of the edge device
	edgeKey iot.Secret
	keys    map[iot.Identity]storage.Entry
	ledger  *ledger
	kills   int
	settled map[string][]string // what the hub has of leaves, of which nothing is in flight
}

const fourHub = "hub.local"

// The modules of the edge device.
var (
	itm     = iot.ModuleIdentity("edge", "itm")
	ptm     = iot.ModuleIdentity("edge", "ptm")
	edgeHub = iot.ModuleIdentity("edge", iot.EdgeHubModule)
)

// routes are those of the documentation.
const routes = `{"properties":{"desired":{"schemaVersion": "1.1", "routes": {
	"up": "FROM /messages/modules/ptm/outputs/* INTO BrokeredEndpoint(\"/modules/itm/inputs/itminput\")",
	"events": "FROM /messages/modules/itm/outputs/itmoutput INTO $upstream",
	"down": "FROM /messages/modules/itm/outputs/itmdown WHERE moduleId = 'ptm' INTO BrokeredEndpoint(\"/modules/ptm/inputs/leaf\")",
	"leaves": "FROM /messages/* WHERE NOT IS_DEFINED($connectionModuleId) INTO $upstream"
}}}}`

// refusal is how long the module remembers a refusal.
const refusal = 2 * time.Minute

// hasty makes the module wait less than it does by default.
var hasty = translate.Patience{
	AskAgain: 2 * time.Second, AskLongest: 4 * time.Second, Refusal: refusal, Doubt: 200 * time.Millisecond,
	Retry: 20 * time.Millisecond, RetryLongest: 200 * time.Millisecond,
}

// A part is one of the four. It is alive while stop is not nil.
type part struct {
	name  string
	start func() (stop func())
	life  *life
	save  func() // takes the disk as it is, for the next start
	stop  func()
}

// newFour starts all four.
func newFour(t *testing.T, seed uint64) *four {
	f := &four{
		t: t, log: slog.New(slog.DiscardHandler), chance: rand.New(rand.NewPCG(seed, 4)), keys: map[iot.Identity]storage.Entry{},
		hubDisk: vfs.NewCrashableMem(), gatewayDisk: vfs.NewCrashableMem(), moduleDisk: vfs.NewCrashableMem(),
		scopeDir: t.TempDir(), journalDir: t.TempDir(), ledger: newLedger(t),
		patience: translate.Patience{Refusal: refusal},
	}
	if testing.Verbose() {
		f.log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
	}
	if seed%2 == 1 {
		f.patience = hasty
	}
	f.parts = []*part{
		{name: "hub", start: f.startHub, save: func() { f.hubDisk = f.left(f.hubDisk) }},
		{name: "gateway", start: f.startGateway, save: func() { f.gatewayDisk, f.scopeDir = f.left(f.gatewayDisk), f.copied(f.scopeDir) }},
		{name: "module", start: f.startModule, save: func() { f.moduleDisk = f.left(f.moduleDisk) }},
		{name: "provisioning", start: f.startProvisioning, save: func() { f.journalDir = f.copied(f.journalDir) }},
	}
	for _, p := range f.parts {
		f.begin(p)
		if p.name == "hub" {
			f.populate()
		}
	}
	return f
}

func (f *four) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// check is must for what runs beside the test.
func (f *four) check(err error) {
	if err != nil {
		f.t.Error(err)
	}
}

// left is what a power cut leaves of a disk.
func (f *four) left(disk *vfs.MemFS) *vfs.MemFS {
	return disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 50, 100}[f.chance.IntN(3)], RNG: f.chance})
}

// copied is a directory as it is now. Who is being killed may still give a file its
// name while it is copied: then it is another moment.
func (f *four) copied(dir string) string {
	for {
		to := f.t.TempDir()
		err := os.CopyFS(to, os.DirFS(dir))
		if !errors.Is(err, fs.ErrNotExist) {
			f.must(err)
			return to
		}
	}
}

func (f *four) begin(p *part) {
	p.life = newLife()
	p.stop = p.start()
}

// kill ends a part where it stands.
func (f *four) kill(p *part) {
	p.life.end()
	p.save()
	p.stop()
	p.stop = nil
}

func (f *four) end() {
	for _, p := range f.parts {
		if p.stop != nil {
			p.life.end()
			p.stop()
		}
	}
}

func (f *four) life(name string) *life {
	for _, p := range f.parts {
		if p.name == name {
			return p.life
		}
	}
	panic(name)
}

func (f *four) startHub() (stop func()) {
	names := []string{fourHub}
	h := hubtest.Open(f.t, f.hubDisk, hub.Options{Hosts: names, Log: f.log.With("at", "hub")})
	f.hub, f.devices, f.events = h.Hub, h.Devices, h.Events
	l := f.life("hub")
	f.atHub.Store(&server{l, f.hub})
	f.atLog.Store(&newsstand{l, f.events})
	f.atCounter.Store(&counter{l, rest.New(rest.Options{
		HostName: fourHub, Registry: f.devices, Auth: &auth.Authenticator{Directory: f.devices, Hosts: names}, Hub: f.hub, Log: f.log.With("at", "hub"),
	})})
	end := await.Run(h.Run)
	return func() {
		end()
		l.calls.Wait()
		h.Close()
	}
}

// populate registers the gateway and its modules, and deploys the routes.
func (f *four) populate() {
	made, err := f.devices.Create(entry(iot.DeviceIdentity("edge"), true))
	f.must(err)
	f.edgeKey, f.scope = made[0].Auth.PrimaryKey, made[0].Scope
	for _, id := range []iot.Identity{itm, ptm} {
		made, err := f.devices.Create(entry(id, false))
		f.must(err)
		f.keys[id] = made[0]
	}
	_, err = f.hub.PatchTwin(edgeHub, json.RawMessage(routes), "")
	f.must(err)
}

func entry(id iot.Identity, edge bool) storage.Entry {
	e := storage.Entry{}
	e.Identity, e.Enabled, e.Edge = id, true, edge
	return e
}

func (f *four) startGateway() (stop func()) {
	l := f.life("gateway")
	g := gatewaytest.Open(f.t, f.gatewayDisk, gateway.Options{
		Device: "edge", HubHost: fourHub, Key: f.edgeKey, Parent: way{l, &f.atHub, f.cross}, Dir: f.scopeDir,
		TTL: -1, Log: f.log.With("at", "gateway"),
	})
	f.atGateway.Store(&server{l, g})
	end := await.Run(g.Run)
	return func() {
		end()
		l.calls.Wait()
		g.Close()
	}
}

// client is the way of a module to the gateway.
func (f *four) client(from *life, id iot.Identity) *moduleclient.Client {
	env := moduleclient.Environment{Identity: id, Hub: fourHub, Key: f.keys[id].Auth.PrimaryKey}
	c, err := moduleclient.Over(way{from, &f.atGateway, f.cross}, env, moduleclient.Options{})
	f.must(err)
	return c
}

func (f *four) startModule() (stop func()) {
	store, err := translate.OpenStoreIn(f.moduleDisk, "module", slog.New(slog.DiscardHandler), func(err error) { f.t.Error(err) })
	f.must(err)
	client := f.client(f.life("module"), itm)
	m, err := translate.New(translate.Options{
		Gateway: client, Kept: store.Kept, State: store.State, Log: f.log.With("at", "module"), Patience: f.patience,
	})
	f.must(err)
	f.module = m
	end := await.Run(func(ctx context.Context) { f.check(m.Run(ctx)) })
	return func() {
		end()
		client.Close()
		f.must(store.Close())
	}
}

func (f *four) startProvisioning() (stop func()) {
	l := f.life("provisioning")
	policy, _ := f.devices.Policy(storage.OwnerPolicy)
	client, err := service.New(
		sas.ConnectionString{HostName: fourHub, PolicyName: policy.Name, Key: policy.Primary},
		service.Options{Transport: office{l, &f.atCounter, f.cross}},
	)
	f.must(err)
	allowed, err := provision.ParseList([]byte("prefix:leaf-"))
	f.must(err)
	p, err := provision.Open(provision.Config{
		Hub: witness{client, f.ledger}, Allow: allowed.Find, Dir: f.journalDir, Log: f.log.With("at", "provisioning"),
	})
	f.must(err)
	f.provisioning = p
	stopFollow := await.Run(func(ctx context.Context) { f.check(p.Follow(ctx, reader{l, &f.atLog, f.cross})) })
	stopRun := await.Run(func(ctx context.Context) { f.check(p.Run(ctx)) })
	return func() {
		stopFollow()
		stopRun()
	}
}

// A newsstand is the event log of one run of the hub.
type newsstand struct {
	*life
	log storage.Events
}

// A reader reads the event log of the hub of the moment, until that is killed.
type reader struct {
	from    *life
	to      *atomic.Pointer[newsstand]
	crossed func()
}

func (r reader) Read(ctx context.Context, from eventhub.Position, _ bool, event func(*hubevent.Event) error, _ func(error)) error {
	at := r.to.Load()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(at.ctx, func() { cancel(errNoAnswer) })()
	defer context.AfterFunc(r.from.ctx, func() { cancel(errNoAnswer) })()
	var one sync.Mutex
	var all sync.WaitGroup
	for p := range at.log.Partitions() {
		all.Go(func() { cancel(r.partition(ctx, at, p, from.Time, &one, event)) })
	}
	all.Wait()
	return context.Cause(ctx)
}

func (r reader) partition(ctx context.Context, at *newsstand, n int, from time.Time, one *sync.Mutex, event func(*hubevent.Event) error) error {
	part, err := at.log.Reader(n, storage.AtTime(from))
	if err != nil {
		return err
	}
	for {
		events, err := part.Read(ctx, 10)
		if err != nil {
			return err
		}
		for _, e := range events {
			r.crossed()
			if ctx.Err() != nil {
				return ctx.Err()
			}
			out := hubevent.Event{Partition: e.Partition, Sequence: e.Sequence, Offset: e.Offset, Enqueued: e.Enqueued, Source: e.Source.String()}
			out.Fill(&e.Message)
			one.Lock()
			err := event(&out)
			one.Unlock()
			if err != nil {
				return err
			}
		}
	}
}

// A ledger has what provisioning saw of devices.
type ledger struct {
	t *testing.T

	mu          sync.Mutex
	generations map[string]string
}

func newLedger(t *testing.T) *ledger {
	return &ledger{t: t, generations: map[string]string{}}
}

// saw notes a device. One that is made again has another generation.
func (l *ledger) saw(d service.Device, err error) {
	if err != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if was := l.generations[d.DeviceID]; was != "" && was != d.GenerationID {
		l.t.Errorf("%s was made twice", d.DeviceID)
	}
	l.generations[d.DeviceID] = d.GenerationID
}

// A witness is the service API with somebody who takes notes.
type witness struct {
	*service.Client
	ledger *ledger
}

func (w witness) Device(ctx context.Context, id string) (service.Device, error) {
	d, err := w.Client.Device(ctx, id)
	w.ledger.saw(d, err)
	return d, err
}

func (w witness) CreateDevice(ctx context.Context, d service.Device) (service.Device, error) {
	made, err := w.Client.CreateDevice(ctx, d)
	w.ledger.saw(made, err)
	return made, err
}

// A fuse burns down as things go over wires.
type fuse struct {
	left  atomic.Int64
	blown chan struct{}
}

// cross is called for everything that goes over a wire.
func (f *four) cross() {
	if fuse := f.fuse.Load(); fuse != nil && fuse.left.Add(-1) == 0 {
		close(fuse.blown)
	}
}

// moment waits until n things more have gone over wires, but no longer than limit.
func (f *four) moment(n int, limit time.Duration) {
	now := &fuse{blown: make(chan struct{})}
	now.left.Store(int64(n))
	f.fuse.Store(now)
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case <-now.blown:
	case <-late.C:
	}
	f.fuse.Store(nil)
}
