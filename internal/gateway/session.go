package gateway

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"sluice/internal/auth"
	"sluice/iot"
)

// session is one device or module that is connected to the gateway.
type session struct {
	g      *Gateway
	id     iot.Identity
	client iot.Client

	mu       sync.Mutex
	creds    iot.Credentials
	provedAt time.Time // by the wall clock
	deadline time.Time // of the token, by the monotonic clock; zero for none
	ended    error
}

var _ iot.Session = (*session)(nil)

func (s *session) Identity() iot.Identity { return s.id }

// prove notes what let the session in. From here on the token's remaining life
// is measured by the monotonic clock, so that a wall clock that jumps neither
// cuts devices off nor keeps them for ever.
func (s *session) prove(creds iot.Credentials, r auth.Result) {
	now := s.g.opt.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.creds, s.provedAt, s.deadline = creds, now, time.Time{}
	if !r.Expires.IsZero() {
		s.deadline = time.Now().Add(r.Expires.Sub(now))
	}
}

func (s *session) proof() (iot.Credentials, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.creds, s.provedAt
}

func (s *session) expired() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.deadline.IsZero() && !time.Now().Before(s.deadline)
}

// Renew replaces the token of a living session.
func (s *session) Renew(_ context.Context, creds iot.Credentials) error {
	if creds.Identity != s.id {
		return iot.Errorf(iot.Unauthorized, "renew", s.id, "the new token is for %s", creds.Identity)
	}
	result, err := s.g.auth.Authenticate(creds)
	if err != nil {
		return err
	}
	s.prove(creds, result)
	return s.err()
}

// end ends the session for the gateway's own reason.
func (s *session) end(reason error) {
	if s.finish(reason) && s.client.Ended != nil {
		s.client.Ended(reason)
	}
}

// Close ends the session for the client's reason.
func (s *session) Close() error {
	s.finish(iot.ErrClosed)
	return nil
}

func (s *session) finish(reason error) (first bool) {
	s.mu.Lock()
	first = s.ended == nil
	if first {
		s.ended = reason
	}
	s.mu.Unlock()
	if first {
		s.g.sessions.remove(s)
		s.g.counts.Disconnected.Add(1)
	}
	return first
}

func (s *session) err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// What follows is telemetry's other half: it needs the uplink to carry it.

func (s *session) unsupported(what string) error {
	return iot.Errorf(iot.Unavailable, what, s.id, "the gateway carries telemetry only")
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
