package iottest

import (
	"context"
	"encoding/json"

	"sluice/iot"
)

// A Session is a session at a [Hub].
type Session struct {
	hub    *Hub
	id     iot.Identity
	client iot.Client

	// Guarded by hub.mu.
	ended   error
	flow    *flow
	methods func(iot.MethodCall, func(iot.MethodResult))
	desired func(json.RawMessage)
}

var _ iot.Session = (*Session)(nil)

// leave ends a session. hub.mu is held.
func (s *Session) leave(reason error) {
	s.ended, s.methods, s.desired = reason, nil, nil
	if s.hub.sessions[s.id] == s {
		delete(s.hub.sessions, s.id)
	}
}

func (s *Session) err() error {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return s.ended
}

// Granted is how many deliveries the client has allowed that have not come, and how
// many these were at the most, since it asked for them last.
func (s *Session) Granted() (now, most int) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if s.flow == nil {
		return 0, 0
	}
	return s.flow.credit, s.flow.most
}

// Invoke calls a direct method of the client, and reports whether it listens for them.
func (s *Session) Invoke(call iot.MethodCall, reply func(iot.MethodResult)) bool {
	s.hub.mu.Lock()
	invoke := s.methods
	s.hub.mu.Unlock()
	if invoke != nil {
		invoke(call, reply)
	}
	return invoke != nil
}

// Change tells the client that its desired properties have changed, and reports whether
// it listens for that.
func (s *Session) Change(patch json.RawMessage) bool {
	s.hub.mu.Lock()
	changed := s.desired
	s.hub.mu.Unlock()
	if changed != nil {
		changed(patch)
	}
	return changed != nil
}

// Identity implements [iot.Session].
func (s *Session) Identity() iot.Identity { return s.id }

// Send implements [iot.Session].
func (s *Session) Send(batch []iot.Message, done func(error)) {
	if err := s.err(); err != nil {
		done(err)
		return
	}
	h := s.hub
	if h.Note != nil {
		for i := range batch {
			h.Note("! send %v %s", s.id, Message(&batch[i]))
		}
	}
	if len(batch) > 1 {
		h.note("! batch of %d", len(batch))
	}
	if h.Refusal != nil || !h.Hold {
		done(h.Refusal)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held = append(h.held, done)
}

// Settle implements [iot.Session].
func (s *Session) Settle(ctx context.Context, token string, o iot.Outcome) error {
	if err := run(ctx, s.hub.Settling); err != nil {
		return err
	}
	if err := s.err(); err != nil {
		return err
	}
	s.hub.note("! settle %v %s %s", s.id, token, [...]string{"", "complete", "abandon", "reject"}[o])
	return nil
}

func run(ctx context.Context, before func(context.Context) error) error {
	if before == nil {
		return nil
	}
	return before(ctx)
}

// InvokeMethod implements [iot.Session].
func (s *Session) InvokeMethod(ctx context.Context, target iot.Identity, call iot.MethodCall) (iot.MethodResult, error) {
	s.hub.note("! invoke %v from %v: %s %s response=%v connect=%v", target, s.id, call.Name, call.Payload, call.ResponseTimeout, call.ConnectTimeout)
	if err := run(ctx, s.hub.Invoked); err != nil {
		return iot.MethodResult{}, err
	}
	return s.hub.Result, nil
}

// Twin implements [iot.Session].
func (s *Session) Twin(ctx context.Context) (iot.Twin, error) {
	s.hub.note("! twin %v", s.id)
	if err := run(ctx, s.hub.Asked); err != nil {
		return iot.Twin{}, err
	}
	return s.hub.Twin, nil
}

// PatchReported implements [iot.Session]. The twin stays as it is.
func (s *Session) PatchReported(ctx context.Context, patch json.RawMessage) (int64, error) {
	s.hub.note("! reported %v %s", s.id, Body(patch))
	if err := run(ctx, s.hub.Asked); err != nil {
		return 0, err
	}
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.hub.Patches++
	return s.hub.Patches, nil
}

// Renew implements [iot.Session].
func (s *Session) Renew(ctx context.Context, creds iot.Credentials) error {
	s.hub.note("! renew %v %s", creds.Identity, Proof(creds))
	if err := s.err(); err != nil {
		return err
	}
	return s.hub.judge(ctx, creds)
}

// Close implements [iot.Session].
func (s *Session) Close() error {
	s.hub.mu.Lock()
	first := s.ended == nil
	if first {
		s.leave(iot.ErrClosed)
	}
	s.hub.mu.Unlock()
	if first {
		s.hub.note("! close %v", s.id)
	}
	return nil
}
