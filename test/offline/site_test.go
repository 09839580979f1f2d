// Package offline tests what a gateway does for its clients beyond telemetry,
// with a real hub behind it that goes away and comes back: both in this process,
// without a network.
package offline

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"sluice/internal/await"
	"sluice/internal/gateway"
	"sluice/internal/gateway/gatewaytest"
	"sluice/internal/hub/hubtest"
	"sluice/internal/hub/storage"
	"sluice/internal/sas"
	"sluice/iot"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const hostName = "hub.local"

// A site is a hub, a line to it, and a gateway with a device behind it.
type site struct {
	t       *testing.T
	hub     *hubtest.Hub
	line    *line
	dir     string
	disk    *vfs.MemFS // of the gateway
	edgeKey iot.Secret
	gateway *gatewaytest.Gateway
	stop    func()
}

var leaf = iot.DeviceIdentity("leaf")

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), disk: vfs.NewMem(), hub: hubtest.Start(t, hostName)}
	s.line = &line{Parent: s.hub, open: map[*lineSession]bool{}}
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
	created, err := s.hub.Devices.Create(e)
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
	s.gateway, s.stop = gatewaytest.Start(s.t, s.disk, gateway.Options{
		Device: "edge", HubHost: hostName, Key: s.edgeKey, Parent: s.line, Dir: s.dir,
		Log: slog.New(slog.NewTextHandler(s.t.Output(), nil)),
	})
}

func (s *site) restartGateway() {
	s.t.Helper()
	s.stop()
	s.startGateway()
}

// connect connects an identity to the gateway, as soon as that knows it.
func (s *site) connect(id iot.Identity) iot.Session {
	s.t.Helper()
	var session iot.Session
	await.Success(s.t, "connect", func() (err error) {
		session, err = s.gateway.Connect(s.t.Context(), s.token(id), iot.Client{})
		return err
	})
	return session
}

// token proves an identity.
func (s *site) token(id iot.Identity) iot.Credentials {
	s.t.Helper()
	e, _ := s.hub.Devices.Get(id)
	token, err := sas.Sign(e.Auth.PrimaryKey, sas.Resource{Host: hostName, Identity: id}, "", time.Now().Add(time.Hour))
	s.must(err)
	return iot.Credentials{Identity: id, Token: token}
}

// cut takes the hub away, and waits until the gateway knows.
func (s *site) cut() {
	s.t.Helper()
	s.line.cut()
	await.Success(s.t, "offline", func() error {
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
	await.Success(s.t, "online", func() error {
		if !s.gateway.Online() {
			return errors.New("still offline")
		}
		return nil
	})
}

// receive waits for something on a channel.
func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	return await.Value(t, from, "something comes")
}

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
