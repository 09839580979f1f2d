package mqttlink

import (
	"context"
	"errors"
	"sync"

	paho "github.com/eclipse/paho.mqtt.golang"

	"sluice/iot"
)

// session is one identity, on one MQTT connection at a time.
type session struct {
	cfg    *Config
	id     iot.Identity
	client iot.Client

	window chan struct{} // one token per message that is not acknowledged
	sent   chan sending
	work   sync.WaitGroup

	using sync.Mutex // one subscribes or renews at a time

	mu       sync.Mutex
	conn     *connection
	reason   error         // set once the session has ended
	ended    chan struct{} // closed then
	closed   bool          // by Close
	renewing bool          // another connection is being opened
	broken   error         // conn was lost meanwhile
	filters  []filter      // what is subscribed to
	requests requests
	commands *commands
	invoke   func(iot.MethodCall, func(iot.MethodResult)) // nil if methods are not wanted
	calls    *interest                                    // that invoke belongs to
	desired  *desired
}

var _ iot.Session = (*session)(nil)

func newSession(c *Config, id iot.Identity, client iot.Client) *session {
	return &session{
		cfg: c, id: id, client: client,
		window: make(chan struct{}, c.Window),
		sent:   make(chan sending, c.Window),
		ended:  make(chan struct{}),
	}
}

func (s *session) begin(conn *connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn = conn; s.reason == nil {
		s.work.Go(s.collect)
	}
}

func (s *session) Identity() iot.Identity { return s.id }

func (s *session) err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reason
}

// now returns the connection of the moment, or why there is none.
func (s *session) now() (*connection, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn, s.reason
}

// background runs f, which the end of the session waits for, unless that is past.
// It is for what may block the connection's reader.
func (s *session) background(f func(*connection)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reason == nil {
		conn := s.conn
		s.work.Go(func() { f(conn) })
	}
}

// wait waits for an exchange with the hub.
func (s *session) wait(ctx context.Context, op string, t paho.Token) error {
	select {
	case <-t.Done():
		if err := t.Error(); err != nil {
			return unreachable(op, s.id, err)
		}
		return nil
	case <-s.ended:
		return s.err()
	case <-ctx.Done():
		return timely(op, s.id, ctx.Err())
	}
}

// timely gives the error of a context its kind.
func timely(op string, id iot.Identity, err error) error {
	kind := iot.Unavailable
	if errors.Is(err, context.DeadlineExceeded) {
		kind = iot.Timeout
	}
	return &iot.Error{Kind: kind, Op: op, Identity: id, Err: err}
}

// lost is the end of a connection, whoever caused it. That of one which is being
// replaced ends the session only if its successor does not come.
func (s *session) lost(conn *connection, err error) {
	reason := unreachable("session", s.id, err)
	s.mu.Lock()
	current := s.conn == nil || s.conn == conn
	if current && s.renewing {
		s.broken = reason
		current = false
	}
	s.mu.Unlock()
	if current {
		s.end(reason)
	}
}

// end ends the session, once, and tells its owner unless the owner did it.
func (s *session) end(reason error) {
	s.mu.Lock()
	if s.reason != nil {
		s.mu.Unlock()
		return
	}
	s.reason = reason
	close(s.ended)
	close(s.sent)
	commands := s.commands
	tell := !s.closed && s.client.Ended != nil
	s.mu.Unlock()
	if commands != nil {
		commands.in.Close()
	}
	if tell {
		s.client.Ended(reason)
	}
}

// Close says DISCONNECT. Batches that are not acknowledged by then fail.
func (s *session) Close() error {
	s.mu.Lock()
	s.closed = true
	conn := s.conn
	s.mu.Unlock()
	s.end(iot.ErrClosed)
	s.work.Wait() // what is being written is, as long as there is a connection
	conn.Disconnect(uint(disconnectGrace.Milliseconds()))
	return nil
}

// InvokeMethod is not what devices and gateways ask of a hub.
func (s *session) InvokeMethod(_ context.Context, target iot.Identity, _ iot.MethodCall) (iot.MethodResult, error) {
	return iot.MethodResult{}, iot.Errorf(iot.NotFound, "method", s.id, "a hub calls methods of %v for services only", target)
}
