// Package gateway is a hub whose answers come from a parent hub, with a spool
// and a cache between.
//
// To devices and modules a [Gateway] is an [iot.Hub]: it authenticates them
// against its scope (package scope), stores what they send in the spool
// (package spool) and acknowledges it when it is on disk. To its parent it is
// the $edgeHub module of an edge device, which acts on behalf of everything in
// its scope: the uplink drains the spool through one session per sending
// identity, in order for each of them and in parallel across them.
//
// The parent is an [iot.Parent]: a hub in the same process, the client of one
// elsewhere, or another gateway.
package gateway

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"sluice/internal/auth"
	"sluice/internal/gateway/meter"
	"sluice/internal/gateway/scope"
	"sluice/internal/gateway/twins"
	"sluice/internal/method"
	"sluice/internal/presence"
	"sluice/internal/spool"
	"sluice/iot"
)

// DefaultTTL is how long a message may wait in the spool, as in edgeHub.
const DefaultTTL = 2 * time.Hour

// Options configures a Gateway. Device, HubHost, Key, Parent, Spool and Dir are
// required.
type Options struct {
	Device  string     // id of the edge device that the gateway is
	HubHost string     // name of the hub, as tokens carry it
	Hosts   []string   // further names that tokens may carry: the gateway's own
	Key     iot.Secret // of the device or of its $edgeHub module
	Parent  iot.Parent
	Spool   *spool.Store
	Dir     string // where the scope is kept; must exist
	// State keeps twins. It stays the caller's to close, after Run.
	State *pebble.DB
	// Roots are the authorities that sign device certificates; nil for none.
	Roots func() *x509.CertPool
	// MaxBytes is the limit that Spool was opened with; 0 for none. A deployment may
	// set a lower one.
	MaxBytes int64
	// TTL is how long a message may wait; 0 means DefaultTTL, negative for
	// ever.
	TTL time.Duration
	// RefreshEvery is the time between refreshes of the scope; 0 means one
	// hour.
	RefreshEvery time.Duration
	// Lanes is how many identities are served upstream at a time; 0 means 64.
	Lanes int
	// IdleTimeout is how long an identity's uplink stays open with nothing to
	// say; 0 means one minute.
	IdleTimeout time.Duration
	// Rate is how many messages a second an identity may send before it is
	// slowed; 0 means no limit.
	Rate float64
	// MaxHops is how many modules may pass a message on, one after the other,
	// before it is dropped; 0 means DefaultMaxHops.
	MaxHops int
	// Meters is how many identities are counted each by itself; 0 means
	// [meter.DefaultMax].
	Meters int
	Log    *slog.Logger
	Now    func() time.Time // wall clock; nil means time.Now
}

// Gateway is a transparent gateway. Its methods may be called from any
// goroutine.
type Gateway struct {
	opt      Options
	log      *slog.Logger
	scope    *scope.Cache
	auth     auth.Authenticator
	own      *ownIdentity
	sessions *presence.Table[*session]
	uplink   *uplink
	routing  atomic.Pointer[routing]
	inputs   inputs
	clients  clients
	twins    *twins.Store
	reports  reports
	methods  method.Desk
	counts   Counts
	meters   *meter.Book
	paces    paces

	life  context.Context // of what runs for clients
	end   context.CancelFunc
	group sync.WaitGroup // of spawn

	mu     sync.Mutex
	closed bool // nothing is spawned any more
}

var _ iot.Hub = (*Gateway)(nil)

// New makes a gateway from what its disk knows. Run brings it to life.
func New(opt Options) (*Gateway, error) {
	if err := opt.complete(); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	g := &Gateway{opt: opt, log: opt.Log, meters: meter.NewBook(opt.Meters), paces: paces{rate: opt.Rate}}
	g.life, g.end = context.WithCancel(context.Background())
	g.reports = reports{g: g, wake: make(chan struct{}, 1)}
	g.own = newOwnIdentity(opt)
	var err error
	g.scope, err = scope.Open(filepath.Join(opt.Dir, "scope.json"), scope.Options{
		Source:       opt.Parent,
		Credentials:  g.own.credentials,
		RefreshEvery: opt.RefreshEvery,
		Changed:      func() { g.sessions.Rejudge() },
		Log:          opt.Log,
		Now:          opt.Now,
	})
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	if g.twins, err = twins.Open(opt.State); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	r, err := defaultRouting(opt.TTL)
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	g.routing.Store(r)
	g.loadConfig()
	g.auth = auth.Authenticator{
		Directory: g.scope,
		Hosts:     append([]string{opt.HubHost}, opt.Hosts...),
		Roots:     opt.Roots,
		Now:       opt.Now,
	}
	g.sessions = g.seats()
	g.uplink = newUplink(g)
	return g, nil
}

func (o *Options) complete() error {
	id := iot.DeviceIdentity(o.Device)
	if err := id.Validate(); err != nil {
		return err
	}
	if o.HubHost == "" || o.Key == "" || o.Parent == nil || o.Spool == nil || o.Dir == "" || o.State == nil {
		return errors.New("HubHost, Key, Parent, Spool, Dir and State are required")
	}
	if o.TTL == 0 {
		o.TTL = DefaultTTL
	}
	if o.Lanes == 0 {
		o.Lanes = 64
	}
	if o.MaxHops == 0 {
		o.MaxHops = DefaultMaxHops
	}
	if o.IdleTimeout == 0 {
		o.IdleTimeout = time.Minute
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return nil
}

// Run keeps the uplink, the scope and the sessions going until ctx ends, and
// returns when everything that it started has ended. Sessions are ended then;
// what was sent over them is in the spool.
func (g *Gateway) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { g.scope.Run(ctx) })
	wg.Go(func() { g.uplink.run(ctx) })
	wg.Go(func() { g.sessions.Run(ctx) })
	wg.Go(func() { g.reports.run(ctx) })
	<-ctx.Done()
	g.end()
	wg.Wait()
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.group.Wait()
	g.uplink.peers.closeAll()
}

// spawn runs something for a client, which Run waits for.
func (g *Gateway) spawn(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.group.Go(f)
	}
}

// Online reports whether the hub can be reached.
func (g *Gateway) Online() bool { return g.uplink.online.isOpen() }
