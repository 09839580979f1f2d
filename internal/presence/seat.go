package presence

import (
	"context"
	"sync"
	"time"

	"sluice/internal/auth"
	"sluice/iot"
)

// A Seat is the presence of one identity. A session embeds one; [Table.Enter]
// fills it.
type Seat struct {
	judges judge
	left   func() // called once, when the seat is lost
	id     iot.Identity
	client iot.Client
	since  time.Time

	mu       sync.Mutex
	creds    iot.Credentials
	result   auth.Result
	provedAt time.Time // by the wall clock
	deadline time.Time // of the token, by the monotonic clock; zero for none
	ended    error
}

// judge decides about credentials that were shown at a time.
type judge interface {
	authenticate(creds iot.Credentials, at time.Time) (auth.Result, error)
	now() time.Time
}

// Presence returns the seat itself, so that a session that embeds one is a
// [Sitter].
func (s *Seat) Presence() *Seat { return s }

// Identity is who sits.
func (s *Seat) Identity() iot.Identity { return s.id }

// Client is the connection behind the seat.
func (s *Seat) Client() iot.Client { return s.client }

// Since is when the seat was taken, by the wall clock.
func (s *Seat) Since() time.Time { return s.since }

// Proof is how the identity proved itself last.
func (s *Seat) Proof() auth.Result {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.result
}

// Err is why the seat was lost, or nil while it is held.
func (s *Seat) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// Renew replaces the proof. The error is Unauthorized if it does not prove the
// same identity; what was proved before stays in force then.
func (s *Seat) Renew(_ context.Context, creds iot.Credentials) error {
	if creds.Identity != s.id {
		return iot.Errorf(iot.Unauthorized, "renew", s.id, "the new token is for %s", creds.Identity)
	}
	now := s.judges.now()
	result, err := s.judges.authenticate(creds, now)
	if err != nil {
		return err
	}
	s.prove(creds, result, now)
	return s.Err()
}

func (s *Seat) prove(creds iot.Credentials, r auth.Result, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.creds, s.result, s.provedAt, s.deadline = creds, r, now, time.Time{}
	if !r.Expires.IsZero() {
		s.deadline = time.Now().Add(r.Expires.Sub(now))
	}
}

// stillAllowed authenticates again what was proved, as if it were shown when it
// was: only what is registered may have changed.
func (s *Seat) stillAllowed() error {
	s.mu.Lock()
	creds, at := s.creds, s.provedAt
	s.mu.Unlock()
	_, err := s.judges.authenticate(creds, at)
	return err
}

func (s *Seat) expired() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.deadline.IsZero() && !time.Now().Before(s.deadline)
}

// End takes the seat away for a reason of the hub's own, and tells the client.
func (s *Seat) End(reason error) {
	if s.Leave(reason) && s.client.Ended != nil {
		s.client.Ended(reason)
	}
}

// Leave gives the seat up, for the client's own reason, which it is not told.
// It reports whether the seat was still held.
func (s *Seat) Leave(reason error) (held bool) {
	s.mu.Lock()
	held = s.ended == nil
	if held {
		s.ended = reason
	}
	s.mu.Unlock()
	if held {
		s.left()
	}
	return held
}
