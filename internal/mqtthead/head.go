package mqtthead

import (
	"context"
	"log/slog"
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

	places places
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
	return &Head{hub: hub, opt: opt, log: opt.Log, places: places{byID: make(map[iot.Identity]*place)}}
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
	s := newSession(h, l.identity, conn, !c.CleanSession)
	h.places.expect(l.identity)
	present, err := s.begin(ctx, l.credentials(c), iot.Client{
		Protocol:   h.opt.Protocol,
		RemoteAddr: conn.RemoteAddr().String(),
		APIVersion: l.apiVersion,
		Product:    l.product,
		ModelID:    l.modelID,
		Ended:      s.ended,
	})
	if err != nil {
		h.loseWills(l.identity, h.places.withdraw(l.identity))
		return nil, false, refusal(err)
	}
	for _, will := range h.places.enter(s) {
		s.publishWill(will)
	}
	return s, present, nil
}

// loseWills notes the wills that nobody may publish.
func (h *Head) loseWills(id iot.Identity, wills []*mqtt.Message) {
	for range wills {
		h.log.Warn("mqtthead: will not published", "identity", id.String(), "err", iot.ErrTakenOver)
	}
}
