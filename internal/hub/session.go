package hub

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"sluice/internal/hub/throttle"
	"sluice/internal/presence"
	"sluice/internal/twin"
	"sluice/iot"
)

// session is one device or module that is connected to the hub.
type session struct {
	presence.Seat
	visits bool // it is no connection
	h      *Hub

	mu       sync.Mutex
	methods  iot.Subscription
	desired  *desiredSubscription
	commands iot.Subscription
}

var _ iot.Session = (*session)(nil)

// Close ends the session for the client's reason.
func (s *session) Close() error {
	s.Leave(iot.ErrClosed)
	return nil
}

// unsubscribe takes the subscriptions of a session that has ended.
func (s *session) unsubscribe() {
	s.mu.Lock()
	methods, commands := s.methods, s.commands
	s.methods, s.desired, s.commands = nil, nil, nil
	s.mu.Unlock()
	for _, sub := range []iot.Subscription{methods, commands} {
		if sub != nil {
			sub.Close()
		}
	}
}

// generation returns the generation of the session's identity.
func (s *session) generation() string { return s.Proof().Registration.GenerationID }

// Twin returns the twin of the session's identity.
func (s *session) Twin(context.Context) (iot.Twin, error) {
	if err := s.Err(); err != nil {
		return iot.Twin{}, err
	}
	if err := s.h.throttled(throttle.TwinRead, 1, s.Identity()); err != nil {
		return iot.Twin{}, err
	}
	t, err := s.h.opt.Twins.Get(s.Identity(), s.generation())
	return t.ForDevice(), err
}

// PatchReported merges a patch into the reported properties.
func (s *session) PatchReported(_ context.Context, patch json.RawMessage) (version int64, err error) {
	if err := s.Err(); err != nil {
		return 0, err
	}
	if err := s.h.throttled(throttle.TwinUpdate, 1, s.Identity()); err != nil {
		return 0, err
	}
	var before twin.Twin
	report := func(t twin.Twin, now time.Time) (twin.Twin, error) {
		before = t
		return t.Report(patch, now)
	}
	t, err := s.h.opt.Twins.Update(s.Identity(), s.generation(), report, func(after twin.Twin) {
		s.h.touch(s.Identity())
		s.h.notifyTwin(updateTwin, s.Identity(), before, after)
	})
	if err != nil {
		return 0, err
	}
	return t.Reported.Version(), nil
}

// A desiredSubscription is a device's interest in its desired properties.
type desiredSubscription struct {
	s       *session
	changed func(patch json.RawMessage)
}

// DesiredChanges asks for patches of the desired properties.
func (s *session) DesiredChanges(changed func(patch json.RawMessage)) (iot.Subscription, error) {
	sub := &desiredSubscription{s, changed}
	s.mu.Lock()
	s.desired = sub
	s.mu.Unlock()
	if err := s.Err(); err != nil {
		sub.Close()
		return nil, err
	}
	return sub, nil
}

// Grant does nothing: changes are not counted.
func (*desiredSubscription) Grant(int) {}

// Revoke does nothing: changes are not counted.
func (*desiredSubscription) Revoke() int { return 0 }

// Close ends the interest.
func (d *desiredSubscription) Close() {
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	if d.s.desired == d {
		d.s.desired = nil
	}
}

// desiredChanged tells the device of a patch. No lock is held over the call: a
// head that cannot keep up may end the session from within it.
func (s *session) desiredChanged(patch json.RawMessage) {
	s.mu.Lock()
	sub := s.desired
	s.mu.Unlock()
	if sub != nil {
		sub.changed(patch)
	}
}

// Commands asks for the cloud-to-device messages of the session's identity.
func (s *session) Commands(deliver func(iot.Delivery)) (iot.Subscription, error) {
	sub := s.h.opt.Commands.Receive(s.Identity(), deliver)
	s.mu.Lock()
	s.commands = sub
	s.mu.Unlock()
	if err := s.Err(); err != nil {
		sub.Close()
		return nil, err
	}
	return sub, nil
}

// Inputs are what a gateway's routes bring; a hub has none.
func (s *session) Inputs(func(iot.Delivery)) (iot.Subscription, error) {
	return nil, iot.Errorf(iot.Unavailable, "inputs", s.Identity(), "a hub routes nothing to modules: connect to a gateway")
}

// Settle ends the delivery of a command.
func (s *session) Settle(_ context.Context, lockToken string, outcome iot.Outcome) error {
	if err := s.Err(); err != nil {
		return err
	}
	return s.h.opt.Commands.Settle(s.Identity(), lockToken, outcome)
}
