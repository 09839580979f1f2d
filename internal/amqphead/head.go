package amqphead

import (
	"log/slog"
	"time"

	"sluice/amqp10"
	"sluice/iot"
)

// Options are how a head differs from the usual. The zero value is good.
type Options struct {
	// Protocol is what the hub is told in [iot.Client]: "amqp", if empty.
	Protocol string

	// ContainerID names the hub to its peers; a random name, if empty.
	ContainerID string

	// Identities is how many identities one connection may act for: 10,000, if
	// zero. Each of them may have 16 links.
	Identities int

	// OperationTimeout is how long the hub may take to judge an identity, for
	// a twin, or to settle a delivery: 30 s, if zero.
	OperationTimeout time.Duration

	// Grace is how long a connection may be there without an identity: 20 s,
	// if zero.
	Grace time.Duration

	// Service serves applications on the same connections; nil: nothing does.
	Service Service

	// Limits are those of the engine. Those that bound links and AMQP sessions
	// are set by the head where they are zero, for connections that carry many
	// identities.
	Limits amqp10.Limits

	// Log gets a line for what a client is not told, and for refusals; nil for
	// none.
	Log *slog.Logger
}

// A Head serves a hub to AMQP clients.
type Head struct {
	hub iot.Hub
	opt Options
	log *slog.Logger
}

const (
	// maxSessions is how many AMQP sessions a connection may have: Microsoft's
	// pools put up to 995 devices on one, each with a session of its own.
	maxSessions = 1024
	// maxLinks is for the connection of a gateway with all that is behind it.
	// What one identity may have is [linksPerIdentity].
	maxLinks = 65_535
)

// New returns a head on hub.
func New(hub iot.Hub, opt Options) *Head {
	if opt.Protocol == "" {
		opt.Protocol = "amqp"
	}
	if opt.Identities == 0 {
		opt.Identities = 10_000
	}
	if opt.OperationTimeout == 0 {
		opt.OperationTimeout = 30 * time.Second
	}
	if opt.Grace == 0 {
		opt.Grace = 20 * time.Second
	}
	if opt.Limits.Sessions == 0 {
		opt.Limits.Sessions = maxSessions
	}
	if opt.Limits.Links == 0 {
		opt.Limits.Links = maxLinks
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	return &Head{hub: hub, opt: opt, log: opt.Log}
}

// Server returns a server whose connections the head serves. Tokens and client
// certificates need TLS below it; the caller brings the listener.
func (h *Head) Server() *amqp10.Server {
	return &amqp10.Server{
		ContainerID: h.opt.ContainerID,
		Mechanisms: []*amqp10.Mechanism{
			amqp10.MSSBCBS(nil),
			amqp10.Plain(h.login),
			amqp10.Anonymous(nil),
			amqp10.External(nil),
		},
		Direct: amqp10.Anonymous(nil), // Node's SDK leaves SASL out
		// SDKs connect again after this one, and some not after connection:forced.
		Stopping: amqp10.Errorf(amqp10.ErrDetachForced, "shutting down"),
		Open:     h.open,
		Limits:   h.opt.Limits,
		Log:      h.log,
	}
}

// open begins a connection.
func (h *Head) open(a *amqp10.Conn) (amqp10.Handler, error) {
	c, ok := a.Identity().(*conn)
	if !ok {
		c = newConn(h, a)
	}
	if c.desk == nil && h.opt.Service != nil {
		c.desk = h.opt.Service.Open(a)
	}
	c.begin()
	return c, nil
}
