// Package iottest has a hub for the tests of what serves clients from an [iot.Hub]. Only
// tests import it.
//
// The [Hub] keeps the promises of [iot.Hub]: one session for an identity, nothing
// delivered that was not granted, nothing after the end. It notes what it is asked, and
// does as it is told: by its fields, by its methods, or by lines of a trace, see
// [Hub.Direct].
package iottest

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"sync"

	"sluice/iot"
)

// A Hub is a hub in memory. Its fields may change while nobody asks it for anything; its
// methods may be called from any goroutine.
type Hub struct {
	// Note takes a line for all that the hub is asked, which begins with "! ". nil
	// takes nothing.
	Note func(format string, args ...any)

	// Judge decides about credentials of Connect, Visit and Renew. nil accepts all.
	Judge func(context.Context, iot.Credentials) error

	// Admit, if not nil, runs before Connect returns, when the session before has ended.
	Admit func()

	// Hold is whether sent messages wait for Release. Refusal, if not nil, is what
	// becomes of them instead.
	Hold    bool
	Refusal error

	// Settling, Asked and Invoked, if not nil, run before Settle, before Twin and
	// PatchReported, and before InvokeMethod, which fail with their error.
	Settling, Asked, Invoked func(context.Context) error

	Twin     iot.Twin         // of everybody
	Patches  int64            // the version of reported properties; a patch makes it one more
	Result   iot.MethodResult // of InvokeMethod
	NotGiven map[string]error // to who asks for "commands", "inputs", "methods" or "desired"

	mu       sync.Mutex
	sessions map[iot.Identity]*Session
	waiting  map[iot.Identity][]iot.Delivery
	held     []func(error)
}

var _ iot.Hub = (*Hub)(nil)

// NewHub returns a hub that accepts everybody and everything at once.
func NewHub() *Hub {
	return &Hub{
		Twin: iot.Twin{
			Desired: json.RawMessage(`{"interval":5}`), DesiredVersion: 3,
			Reported: json.RawMessage(`{}`), ReportedVersion: 1,
		},
		Patches:  1,
		Result:   iot.MethodResult{Status: 200, Payload: json.RawMessage(`{"done":true}`)},
		NotGiven: make(map[string]error),
		sessions: make(map[iot.Identity]*Session),
		waiting:  make(map[iot.Identity][]iot.Delivery),
	}
}

func (h *Hub) note(format string, args ...any) {
	if h.Note != nil {
		h.Note(format, args...)
	}
}

// Connect implements [iot.Hub].
func (h *Hub) Connect(ctx context.Context, creds iot.Credentials, client iot.Client) (iot.Session, error) {
	s, err := h.admit(ctx, "connect", creds, client)
	if err != nil {
		return nil, err
	}
	h.End(creds.Identity, iot.ErrTakenOver)
	h.mu.Lock()
	h.sessions[creds.Identity] = s
	h.mu.Unlock()
	if h.Admit != nil {
		h.Admit()
	}
	return s, nil
}

// Visit is Connect, for a session beside the one that the identity may have.
func (h *Hub) Visit(ctx context.Context, creds iot.Credentials, client iot.Client) (iot.Session, error) {
	s, err := h.admit(ctx, "visit", creds, client)
	if err != nil {
		return nil, err // and no session that is nil and not nil
	}
	return s, nil
}

func (h *Hub) admit(ctx context.Context, how string, creds iot.Credentials, client iot.Client) (*Session, error) {
	h.note("! %s %v %s %s", how, creds.Identity, Proof(creds), clientText(client))
	if err := h.judge(ctx, creds); err != nil {
		return nil, err
	}
	return &Session{hub: h, id: creds.Identity, client: client}, nil
}

func (h *Hub) judge(ctx context.Context, creds iot.Credentials) error {
	if h.Judge == nil {
		return nil
	}
	return h.Judge(ctx, creds)
}

// End ends the session of id, if it has one, for a reason of the hub's own.
func (h *Hub) End(id iot.Identity, reason error) {
	h.mu.Lock()
	s := h.sessions[id]
	if s == nil {
		h.mu.Unlock()
		return
	}
	s.leave(reason)
	h.mu.Unlock()
	if s.client.Ended != nil {
		s.client.Ended(reason)
	}
}

// Session returns the living session of id, or nil.
func (h *Hub) Session(id iot.Identity) *Session {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sessions[id]
}

// Sessions are the living sessions.
func (h *Hub) Sessions() []*Session {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Values(h.sessions))
}

// Release calls back for all that is held.
func (h *Hub) Release(err error) {
	h.mu.Lock()
	held := h.held
	h.held = nil
	h.mu.Unlock()
	for _, done := range held {
		done(err)
	}
}

// Deliver has a command or an input for id, which waits until it is granted.
func (h *Hub) Deliver(id iot.Identity, d iot.Delivery) {
	h.mu.Lock()
	h.waiting[id] = append(h.waiting[id], d)
	s := h.sessions[id]
	var f *flow
	if s != nil {
		f = s.flow
	}
	h.mu.Unlock()
	if f != nil {
		f.pump()
	}
}

// Waiting is how many deliveries wait for id.
func (h *Hub) Waiting(id iot.Identity) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.waiting[id])
}
