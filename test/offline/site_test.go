// Package offline tests what a gateway does for its clients beyond telemetry,
// with a real hub behind it that goes away and comes back: both in this process,
// without a network.
package offline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"sluice/internal/gateway"
	"sluice/internal/hub"
	"sluice/internal/hub/commands"
	"sluice/internal/hub/eventlog"
	"sluice/internal/hub/registry"
	"sluice/internal/hub/storage"
	"sluice/internal/hub/twins"
	"sluice/internal/sas"
	"sluice/internal/spool"
	"sluice/iot"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const hostName = "hub.local"

// patience is how long a test waits for what must happen.
const patience = 60 * time.Second

// A site is a hub, a line to it, and a gateway with a device behind it.
type site struct {
	t       *testing.T
	hub     *hub.Hub
	devices storage.Identities
	log     storage.Events
	line    *line
	dir     string
	state   *vfs.MemFS
	disk    vfs.FS // of the spool; nil for the machine's
	spool   *spool.Store
	edgeKey iot.Secret
	gateway *gateway.Gateway
	stop    func()
}

var leaf = iot.DeviceIdentity("leaf")

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), state: vfs.NewMem()}
	s.startHub()
	edge := s.create(leafOf("edge", func(e *storage.Entry) { e.Edge = true }))
	s.edgeKey = edge.Auth.PrimaryKey
	s.create(leafOf("leaf", func(e *storage.Entry) { e.ParentScopes = []string{edge.Scope} }))
	s.create(moduleOf(iot.ModuleIdentity("edge", "filter")))
	s.startGateway()
	return s
}

func leafOf(id string, change func(*storage.Entry)) storage.Entry {
	e := storage.Entry{}
	e.Identity, e.Enabled = iot.DeviceIdentity(id), true
	change(&e)
	return e
}

func moduleOf(id iot.Identity) storage.Entry {
	e := storage.Entry{}
	e.Identity, e.Enabled = id, true
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

func (s *site) startHub() {
	fs := vfs.NewMem()
	db, err := pebble.Open("state", &pebble.Options{FS: fs, Logger: silent{}})
	s.must(err)
	s.devices, err = registry.Open(db, registry.Options{})
	s.must(err)
	queues, err := commands.Open(db, commands.Options{Generation: s.devices.Generation})
	s.must(err)
	events, err := eventlog.Open("events", eventlog.Options{FS: fs, MinFree: -1})
	s.must(err)
	s.hub, err = hub.New(hub.Options{
		Hosts: []string{hostName}, Registry: s.devices, Twins: twins.New(db, nil), Events: events, Commands: queues,
	})
	s.must(err)
	s.log = events
	s.line = &line{Parent: s.hub, open: map[*lineSession]bool{}}
	stop := run(s.hub.Run)
	s.t.Cleanup(func() {
		stop()
		s.must(errors.Join(events.Close(), db.Close()))
	})
}

func (s *site) startGateway() {
	s.t.Helper()
	db, err := pebble.Open("gateway", &pebble.Options{FS: s.state, Logger: silent{}})
	s.must(err)
	dir := filepath.Join(s.dir, "spool")
	if s.disk != nil {
		dir = "spool"
	}
	store, err := spool.Open(dir, spool.Options{FS: s.disk, BallastBytes: -1, MinFree: -1})
	s.must(err)
	s.spool = store
	s.gateway, err = gateway.New(gateway.Options{
		Device: "edge", HubHost: hostName, Key: s.edgeKey, Parent: s.line, Spool: store, Dir: s.dir, State: db,
		Log: slog.New(slog.NewTextHandler(s.t.Output(), nil)),
	})
	s.must(err)
	stop := run(s.gateway.Run)
	s.stop = sync.OnceFunc(func() {
		stop()
		s.must(errors.Join(store.Close(), db.Close()))
	})
	s.t.Cleanup(func() { s.stop() })
}

func (s *site) restartGateway() {
	s.t.Helper()
	s.stop()
	s.startGateway()
}

// run runs something until stop, which waits for its end.
func run(f func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() { f(ctx) })
	return func() {
		cancel()
		group.Wait()
	}
}

// connect connects an identity to the gateway, as soon as that knows it.
func (s *site) connect(id iot.Identity) iot.Session {
	s.t.Helper()
	var session iot.Session
	s.eventually("connect", func() (err error) {
		session, err = s.gateway.Connect(s.t.Context(), s.token(id), iot.Client{})
		return err
	})
	return session
}

// token proves an identity.
func (s *site) token(id iot.Identity) iot.Credentials {
	s.t.Helper()
	e, _ := s.devices.Get(id)
	token, err := sas.Sign(e.Auth.PrimaryKey, sas.Resource{Host: hostName, Identity: id}, "", time.Now().Add(time.Hour))
	s.must(err)
	return iot.Credentials{Identity: id, Token: token}
}

// eventually tries until there is no error.
func (s *site) eventually(what string, try func() error) {
	s.t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: %v", what, err)
		}
		<-tick.C
	}
}

// cut takes the hub away, and waits until the gateway knows.
func (s *site) cut() {
	s.t.Helper()
	s.line.cut()
	s.eventually("offline", func() error {
		if s.gateway.Online() {
			return errors.New("still online")
		}
		return nil
	})
}

// mend gives the hub back, and waits until the gateway knows.
func (s *site) mend() {
	s.t.Helper()
	s.line.mend()
	s.online()
}

func (s *site) online() {
	s.t.Helper()
	s.eventually("online", func() error {
		if !s.gateway.Online() {
			return errors.New("still offline")
		}
		return nil
	})
}

// receive waits for something on a channel.
func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("not reached")
	}
}

type silent struct{}

func (silent) Infof(string, ...any)              {}
func (silent) Errorf(string, ...any)             {}
func (silent) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// A line is a hub that can be cut off.
type line struct {
	iot.Parent

	mu   sync.Mutex
	down bool
	open map[*lineSession]bool
}

type lineSession struct {
	iot.Session
	ended func(error)
}

var errCut = iot.Errorf(iot.Unavailable, "line", iot.Identity{}, "the line is cut")

func (l *line) isDown() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.down
}

func (l *line) Connect(ctx context.Context, creds iot.Credentials, client iot.Client) (iot.Session, error) {
	if l.isDown() {
		return nil, errCut
	}
	session, err := l.Parent.Connect(ctx, creds, client)
	if err != nil {
		return nil, err
	}
	s := &lineSession{Session: session, ended: client.Ended}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[s] = true
	return s, nil
}

func (l *line) InScope(ctx context.Context, creds iot.Credentials, continuation string) (iot.ScopePage, error) {
	if l.isDown() {
		return iot.ScopePage{}, errCut
	}
	return l.Parent.InScope(ctx, creds, continuation)
}

func (l *line) Lookup(ctx context.Context, creds iot.Credentials, target iot.Identity) ([]iot.Registration, error) {
	if l.isDown() {
		return nil, errCut
	}
	return l.Parent.Lookup(ctx, creds, target)
}

func (l *line) cut() {
	l.mu.Lock()
	l.down = true
	open := l.open
	l.open = map[*lineSession]bool{}
	l.mu.Unlock()
	for s := range open {
		_ = s.Close() // in memory, it cannot fail
		s.ended(errCut)
	}
}

func (l *line) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = false
}
