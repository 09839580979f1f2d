package mqtthead

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"sluice/iot"
	"sluice/mqtt"
)

// Options are how a head differs from the usual. The zero value is good.
type Options struct {
	// Protocol is what the hub is told in [iot.Client]: "mqtt", if empty.
	Protocol string

	// Sessions keeps the subscriptions of clients that connect with clean
	// session 0; nil keeps those of 100,000 identities in memory.
	Sessions Sessions

	// OperationTimeout is how long the hub may take for a twin or to settle a
	// delivery: 30 s, if zero.
	OperationTimeout time.Duration

	// Log gets a line for what a client is not told and the engine does not
	// see; nil for none. Refusals and the ends of connections are logged by
	// the engine, with their reasons.
	Log *slog.Logger
}

// A Head serves a hub to MQTT clients. It is the backend of an [mqtt.Server].
type Head struct {
	hub iot.Hub
	opt Options
	log *slog.Logger

	mu   sync.Mutex
	live map[iot.Identity]*session // the latest of each identity here, for the will of the one before
}

var _ mqtt.Backend = (*Head)(nil)

// New returns a head on hub.
func New(hub iot.Hub, opt Options) *Head {
	if opt.Protocol == "" {
		opt.Protocol = "mqtt"
	}
	if opt.Sessions == nil {
		opt.Sessions = NewMemory(100_000)
	}
	if opt.OperationTimeout == 0 {
		opt.OperationTimeout = 30 * time.Second
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	return &Head{hub: hub, opt: opt, log: opt.Log, live: make(map[iot.Identity]*session)}
}

// Connect implements [mqtt.Backend].
func (h *Head) Connect(ctx context.Context, c *mqtt.Connect, conn *mqtt.Conn) (mqtt.Session, bool, error) {
	l, err := parseLogin(c)
	if err != nil {
		return nil, false, err
	}
	if err := checkWill(l.identity, c.Will); err != nil {
		return nil, false, refusal(err)
	}
	hubSession, err := h.hub.Connect(ctx, l.credentials(c), iot.Client{
		Protocol:   h.opt.Protocol,
		RemoteAddr: conn.RemoteAddr().String(),
		APIVersion: l.apiVersion,
		Product:    l.product,
		ModelID:    l.modelID,
		Ended:      conn.Close,
	})
	if err != nil {
		return nil, false, refusal(err)
	}
	s := newSession(h, hubSession, conn, !c.CleanSession)
	present, err := s.begin(ctx)
	if err != nil {
		s.end()
		return nil, false, refusal(err)
	}
	h.enter(s)
	return s, present, nil
}

// enter notes s as the latest session of its identity. The hub has ended the one
// before; both ends of a takeover are in the log, for it may be a stolen token.
func (h *Head) enter(s *session) {
	h.mu.Lock()
	before := h.live[s.id]
	h.live[s.id] = s
	h.mu.Unlock()
	if before != nil {
		h.log.Info("mqtthead: connected again", "identity", s.id.String(),
			"remote", s.conn.RemoteAddr(), "before", before.conn.RemoteAddr())
	}
}

// leave forgets s, and returns the session that has taken its place, or nil.
func (h *Head) leave(s *session) (successor *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if latest := h.live[s.id]; latest != s {
		return latest
	}
	delete(h.live, s.id)
	return nil
}
