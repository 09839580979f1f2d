package webhead

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"

	"sluice/iot"
)

// Options are how a head differs from the usual. The zero value is good, but serves
// no WebSockets.
type Options struct {
	// MQTT and AMQP serve the WebSockets with the subprotocols mqtt and AMQPWSB10;
	// nil: there are none.
	MQTT, AMQP Engine

	// Visit begins a session of an identity beside the one that it may have by
	// another protocol, neither taking that over nor being taken over by the next.
	// Telemetry and methods use it. nil: they use Connect of the hub, which ends a
	// connection that the same identity has by another protocol.
	Visit func(context.Context, iot.Credentials, iot.Client) (iot.Session, error)

	// Files is asked where devices put files; nil: they put them nowhere.
	Files iot.Files

	// Keep is how long a session outlasts the last request: 65 s, if zero, a little
	// more than the lock on a command.
	Keep time.Duration

	// Patience is how long a device that asks for a command waits for one: 1 s, if
	// zero. It is there for hubs that have to ask others first.
	Patience time.Duration

	// OperationTimeout is how long the hub may take to judge an identity, to make
	// telemetry safe, or to settle a command: 30 s, if zero.
	OperationTimeout time.Duration

	// Log gets a line for what is refused; nil for none.
	Log *slog.Logger
}

// An Engine serves the protocol that a WebSocket carries. *mqtt.Server and
// *amqp10.Server are engines. If the device showed a certificate, the connection has
// the method ConnectionState of a tls.Conn.
type Engine interface {
	// ServeConn serves one connection until it or ctx ends, and closes it.
	ServeConn(ctx context.Context, nc net.Conn) error
}

// A Head serves a hub to HTTPS clients. Its methods may be called from any goroutine.
type Head struct {
	opt    Options
	log    *slog.Logger
	routes []route

	seats  *sessions // begun with Connect
	visits *sessions // begun with Visit, or else the seats

	sockets group
	life    context.Context // of the WebSockets
	end     context.CancelFunc
}

// New returns a head on hub. It must be closed.
func New(hub iot.Hub, opt Options) *Head {
	if opt.Keep == 0 {
		opt.Keep = 65 * time.Second
	}
	if opt.Patience == 0 {
		opt.Patience = time.Second
	}
	if opt.OperationTimeout == 0 {
		opt.OperationTimeout = 30 * time.Second
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	h := &Head{opt: opt, log: opt.Log, routes: routes()}
	h.seats = newSessions(hub.Connect, opt.Keep)
	h.visits = h.seats
	if opt.Visit != nil {
		h.visits = newSessions(opt.Visit, opt.Keep)
	}
	h.life, h.end = context.WithCancel(context.Background())
	return h
}

// Close ends WebSockets, each as its engine ends connections when it stops, and the
// sessions that are kept. It returns when all of them have ended; requests under way
// are answered, with 503 where they have need of a session.
func (h *Head) Close() error {
	h.sockets.close()
	h.end()
	h.sockets.wait()
	h.seats.close()
	h.visits.close()
	return nil
}

// Serves reports whether the path of a request is one of this head's, so that it can
// stand beside other handlers. Of /twins/…/methods, at which a hub's service API has
// operations too, it serves what has the header x-ms-edge-moduleId.
func (h *Head) Serves(r *http.Request) bool {
	segments := segmentsOf(r.URL.EscapedPath())
	for i := range h.routes {
		if _, ok := match(h.routes[i].segments, segments); ok {
			return h.routes[i].as != invoker || r.Header.Get(callerHeader) != ""
		}
	}
	return false
}
