package hub

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"sluice/internal/auth"
	"sluice/internal/hub/deploy"
	"sluice/internal/hub/files"
	"sluice/internal/hub/jobs"
	"sluice/internal/hub/storage"
	"sluice/internal/hub/throttle"
	"sluice/internal/method"
	"sluice/internal/presence"
	"sluice/iot"
)

// Options configure a Hub. Hosts and what it keeps are required.
type Options struct {
	Hosts    []string // the hub's names, as tokens carry them
	Registry storage.Identities
	Twins    storage.Twins
	Events   storage.Events
	Commands storage.Commands

	Configurations *deploy.Store // nil: there are none
	Jobs           *jobs.Store   // nil: there are none
	Files          *files.Store  // nil: no blob store belongs to the hub

	// Notify are the sources, besides telemetry, whose events go to the event log.
	// IoT Hub needs a route for each, and has none at first.
	Notify []storage.Source

	// Enrichments are properties that the hub adds to events: [MaxEnrichments] at most.
	Enrichments []Enrichment

	// Throttle limits how often devices do things; nil: it does not.
	Throttle *throttle.Throttle

	// Roots are the authorities that sign device certificates; nil for none.
	Roots func() *x509.CertPool
	Log   *slog.Logger     // nil discards
	Now   func() time.Time // wall clock; nil means time.Now
}

// Hub is a local IoT Hub. Its methods may be called from any goroutine.
type Hub struct {
	opt      Options
	auth     auth.Authenticator
	sessions *presence.Table[*session]
	seen     activity
	methods  method.Desk
	unwatch  func()

	searching chan struct{} // a place for each query that runs
	deployed  deployed

	connections atomic.Uint64 // events of connections so far
}

var _ iot.Parent = (*Hub)(nil)

// New makes a hub of what its rooms keep. Run brings it to life.
func New(opt Options) (*Hub, error) {
	if len(opt.Hosts) == 0 || opt.Registry == nil || opt.Twins == nil || opt.Events == nil || opt.Commands == nil {
		return nil, errors.New("hub: Hosts, Registry, Twins, Events and Commands are required")
	}
	if len(opt.Enrichments) > MaxEnrichments {
		return nil, fmt.Errorf("hub: %d enrichments, at most %d", len(opt.Enrichments), MaxEnrichments)
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	h := &Hub{opt: opt, searching: make(chan struct{}, searches), auth: auth.Authenticator{
		Directory: opt.Registry, Hosts: opt.Hosts, Roots: opt.Roots, Now: opt.Now,
	}}
	h.sessions = presence.NewTable(presence.Options[*session]{Auth: h.auth, Left: h.left, Log: opt.Log})
	h.unwatch = opt.Registry.Watch(h.registryChanged)
	h.deployed.init()
	h.connections.Store(uint64(opt.Now().UnixNano())) // later numbers than before a restart
	if opt.Configurations != nil {
		opt.Configurations.Watch(h.deployed.touchAll)
	}
	return h, nil
}

// Run ends sessions as their tokens expire and their registrations change, until
// ctx ends. Sessions are ended then.
func (h *Hub) Run(ctx context.Context) {
	defer h.unwatch()
	var group sync.WaitGroup
	group.Go(func() { h.opt.Commands.Run(ctx) })
	group.Go(func() { h.deploy(ctx) })
	if h.opt.Jobs != nil {
		group.Go(func() { h.opt.Jobs.Run(ctx, h) })
	}
	if h.opt.Files != nil {
		group.Go(func() { h.opt.Files.Run(ctx) })
	}
	h.sessions.Run(ctx)
	group.Wait()
}

// Connect authenticates one identity and begins its session.
func (h *Hub) Connect(_ context.Context, creds iot.Credentials, client iot.Client) (iot.Session, error) {
	s := &session{h: h}
	if len(client.ModelID) > maxModelID {
		return nil, iot.Errorf(iot.Invalid, "connect", creds.Identity, "the model id is %d bytes long, the limit is %d", len(client.ModelID), maxModelID)
	}
	if err := h.throttled(throttle.Connect, 1, creds.Identity); err != nil {
		return nil, err
	}
	if err := h.sessions.Enter(s, creds, client); err != nil {
		return nil, err
	}
	h.seen.note(s.Identity(), h.opt.Now())
	h.notifyConnection(s.Identity(), "deviceConnected")
	if client.ModelID != "" {
		if err := h.opt.Registry.SetModel(s.Identity(), s.generation(), client.ModelID); err != nil {
			s.Leave(err)
			return nil, err
		}
	}
	return s, nil
}

// maxModelID is how long the id of a plug and play model may be, in bytes: a DTMI of
// any version of its language.
const maxModelID = 4096

// Visit is Connect for a request that comes by itself, as over HTTPS: it leaves a
// connection that the identity has alone, and is none.
func (h *Hub) Visit(_ context.Context, creds iot.Credentials, client iot.Client) (iot.Session, error) {
	s := &session{h: h, visits: true}
	if err := h.sessions.Visit(s, creds, client); err != nil {
		return nil, err
	}
	h.seen.note(s.Identity(), h.opt.Now())
	return s, nil
}

func (h *Hub) left(s *session) {
	s.unsubscribe()
	h.seen.note(s.Identity(), h.opt.Now())
	if !s.visits {
		h.notifyConnection(s.Identity(), "deviceDisconnected")
	}
}

// registryChanged ends the sessions that a change forbids. Besides those of the
// identities themselves these are their modules', and for an edge device all that
// it acts for.
func (h *Hub) registryChanged(changes []storage.Change) {
	for _, c := range changes {
		h.touch(c.Identity())
		h.notifyLifecycle(c)
	}
	var ids []iot.Identity
	for _, c := range changes {
		id := c.Identity()
		if c.Before == nil {
			continue // nobody has connected as it
		}
		if c.After == nil {
			h.forget(id)
		}
		if c.Before.Edge || id.Module == iot.EdgeHubModule {
			h.sessions.Rejudge()
			return
		}
		ids = append(ids, id)
		for _, m := range h.opt.Registry.Modules(id.Device) {
			ids = append(ids, m.Identity)
		}
	}
	if len(ids) > 0 {
		h.sessions.Rejudge(ids...)
	}
}

func (h *Hub) forget(id iot.Identity) {
	h.seen.forget(id)
	err := errors.Join(h.opt.Twins.Delete(id), h.opt.Commands.Forget(id))
	if h.opt.Files != nil && !id.IsModule() {
		err = errors.Join(err, h.opt.Files.Forget(id.Device))
	}
	if err != nil {
		h.opt.Log.Warn("the twin or commands of a deleted identity are left over; they do no harm", "identity", id, "err", err)
	}
}

// Connected is how many identities are connected.
func (h *Hub) Connected() int { return h.sessions.Len() }

// ConnectionState tells whether an identity is connected, and since when. If it
// is not, Since is when it was last seen, zero if that was before the hub
// started.
func (h *Hub) ConnectionState(id iot.Identity) iot.ConnectionState {
	if s, ok := h.sessions.Get(id); ok {
		return iot.ConnectionState{Connected: true, Since: s.Since()}
	}
	return iot.ConnectionState{Since: h.seen.last(id)}
}

// LastActivity is when an identity last connected, sent something or left, or the
// zero time if that was before the hub started.
func (h *Hub) LastActivity(id iot.Identity) time.Time { return h.seen.last(id) }

// SendCommand stores a cloud-to-device message for an identity. Errors are those
// of [storage.Commands].
func (h *Hub) SendCommand(target iot.Identity, m iot.Message) error {
	if err := h.throttled(throttle.Command, 1, target); err != nil {
		return err
	}
	return h.opt.Commands.Send(target, m)
}

// PurgeCommands ends all commands of an identity, and returns how many there were.
func (h *Hub) PurgeCommands(id iot.Identity) (int, error) {
	if _, err := h.entry("purge", id); err != nil {
		return 0, err
	}
	return h.opt.Commands.Purge(id)
}

// CommandCount is how many commands wait for an identity.
func (h *Hub) CommandCount(id iot.Identity) int { return h.opt.Commands.Count(id) }

// Feedback is what senders of commands asked to be told.
func (h *Hub) Feedback() storage.Notices[storage.FeedbackRecord] { return h.opt.Commands.Feedback() }
