package mqttlink

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"sluice/internal/topic"
	"sluice/iot"
)

// session is one MQTT connection. One goroutine waits for acknowledgements in
// the order of Send.
type session struct {
	cfg    *Config
	id     iot.Identity
	client iot.Client
	conn   paho.Client

	window chan struct{} // one token per message that is not acknowledged
	sent   chan sending
	acks   sync.WaitGroup

	mu     sync.Mutex
	reason error         // set once the session has ended
	ended  chan struct{} // closed then
	closed bool          // by Close
}

// sending is one message on its way; the last of a batch carries its done.
type sending struct {
	token paho.Token
	done  func(error)
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

func (s *session) begin() { s.acks.Go(s.collect) }

func (s *session) Identity() iot.Identity { return s.id }

// Send publishes the batch at QoS 1 and waits while the window is full. It is
// called from one goroutine at a time.
func (s *session) Send(batch []iot.Message, done func(error)) {
	if len(batch) == 0 {
		done(s.err())
		return
	}
	for i := range batch {
		select {
		case s.window <- struct{}{}:
		case <-s.ended:
			// What of this batch was published stays unacknowledged.
			done(s.err())
			return
		}
		out := sending{token: s.conn.Publish(topic.Telemetry(s.id, &batch[i]), 1, false, batch[i].Body)}
		if i == len(batch)-1 {
			out.done = done
		}
		if err := s.follow(out); err != nil {
			done(err)
			return
		}
	}
}

// follow hands a published message to collect, unless the session has ended.
func (s *session) follow(out sending) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reason == nil {
		s.sent <- out // has room: as large as the window
	}
	return s.reason
}

func (s *session) err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reason
}

// collect reports batches as they are acknowledged, and ends the session when
// a message is not. One that follows a failure fails too, so an error is never
// forgotten within its batch.
func (s *session) collect() {
	var failed error
	for out := range s.sent {
		if failed == nil {
			if failed = s.await(out.token); failed != nil {
				s.end(failed)
			}
		}
		<-s.window
		if out.done != nil {
			out.done(failed)
		}
	}
}

func (s *session) await(t paho.Token) error {
	timer := time.NewTimer(s.cfg.OperationTimeout)
	defer timer.Stop()
	select {
	case <-t.Done():
		if err := t.Error(); err != nil {
			return unreachable("send", s.id, err)
		}
		return nil
	case <-s.ended:
		return s.err()
	case <-timer.C:
		return iot.Errorf(iot.Timeout, "send", s.id, "not acknowledged within %s", s.cfg.OperationTimeout)
	}
}

// lost is the connection's end, whoever caused it.
func (s *session) lost(err error) { s.end(unreachable("session", s.id, err)) }

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
	tell := !s.closed && s.client.Ended != nil
	s.mu.Unlock()
	if tell {
		s.client.Ended(reason)
	}
}

// Close says DISCONNECT. Batches that are not acknowledged by then fail.
func (s *session) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.end(iot.ErrClosed)
	s.conn.Disconnect(uint(disconnectGrace.Milliseconds()))
	s.acks.Wait()
	return nil
}

// What follows needs the subscriptions of the device's side, which the gateway
// does not use over this transport.

func (s *session) unsupported(what string) error {
	return iot.Errorf(iot.Unavailable, what, s.id, "the MQTT uplink carries telemetry only")
}

func (s *session) Commands(func(iot.Delivery)) (iot.Subscription, error) {
	return nil, s.unsupported("commands")
}

func (s *session) Inputs(func(iot.Delivery)) (iot.Subscription, error) {
	return nil, s.unsupported("inputs")
}

func (s *session) Settle(context.Context, string, iot.Outcome) error { return s.unsupported("settle") }

func (s *session) Methods(func(iot.MethodCall, func(iot.MethodResult))) (iot.Subscription, error) {
	return nil, s.unsupported("methods")
}

func (s *session) InvokeMethod(context.Context, iot.Identity, iot.MethodCall) (iot.MethodResult, error) {
	return iot.MethodResult{}, s.unsupported("method")
}

func (s *session) Twin(context.Context) (iot.Twin, error) { return iot.Twin{}, s.unsupported("twin") }

func (s *session) PatchReported(context.Context, json.RawMessage) (int64, error) {
	return 0, s.unsupported("reported properties")
}

func (s *session) DesiredChanges(func(json.RawMessage)) (iot.Subscription, error) {
	return nil, s.unsupported("desired properties")
}

// Renew cannot be done in MQTT 3.1.1: a connection lives with the token that it
// logged in with.
func (s *session) Renew(context.Context, iot.Credentials) error { return s.unsupported("renew") }
