package webhead

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"sluice/iot"
)

// A fakeHub is a hub that notes what it is asked and does as it is told. It keeps the
// promises of [iot.Hub] that the head relies on.
type fakeHub struct {
	note func(format string, args ...any)

	mu       sync.Mutex
	sessions map[iot.Identity]*fakeSession
	commands map[iot.Identity][]iot.Delivery // that wait
	hold     bool                            // keep what is sent, without calling back
	held     []func(error)
	refusal  error // of Send
	slow     chan struct{}
	result   iot.MethodResult
	failure  error // of InvokeMethod and Settle
}

func newFakeHub() *fakeHub {
	return &fakeHub{
		note:     func(string, ...any) {},
		sessions: make(map[iot.Identity]*fakeSession),
		commands: make(map[iot.Identity][]iot.Delivery),
		result:   iot.MethodResult{Status: 200, Payload: json.RawMessage(`{"done":true}`)},
	}
}

type fakeSession struct {
	hub    *fakeHub
	id     iot.Identity
	client iot.Client
	beside bool // from Visit

	// Guarded by hub.mu.
	ended   error
	deliver func(iot.Delivery)
	credit  int
}

func (h *fakeHub) Connect(ctx context.Context, creds iot.Credentials, client iot.Client) (iot.Session, error) {
	return h.begin(ctx, "connect", creds, client)
}

func (h *fakeHub) visit(ctx context.Context, creds iot.Credentials, client iot.Client) (iot.Session, error) {
	return h.begin(ctx, "visit", creds, client)
}

func (h *fakeHub) begin(ctx context.Context, how string, creds iot.Credentials, client iot.Client) (iot.Session, error) {
	h.note("! %s %v %s %s api=%s", how, creds.Identity, proofText(creds), client.Protocol, client.APIVersion)
	if err := judge(creds); err != nil {
		return nil, err
	}
	if h.slow != nil {
		select {
		case <-h.slow:
		case <-ctx.Done():
			return nil, iot.Errorf(iot.Unavailable, "connect", creds.Identity, "%v", ctx.Err())
		}
	}
	s := &fakeSession{hub: h, id: creds.Identity, client: client, beside: how == "visit"}
	if s.beside {
		return s, nil
	}
	h.end(creds.Identity, iot.ErrTakenOver)
	h.mu.Lock()
	h.sessions[creds.Identity] = s
	h.mu.Unlock()
	return s, nil
}

// judge accepts tokens that begin with "token", and certificates.
func judge(creds iot.Credentials) error {
	if creds.Token != "" && !strings.HasPrefix(creds.Token, "token") {
		return iot.Errorf(iot.Unauthorized, "connect", creds.Identity, "the signature is wrong; this is secret")
	}
	return nil
}

func proofText(c iot.Credentials) string {
	if c.Token == "" {
		return fmt.Sprintf("certificates=%d", len(c.Certificates))
	}
	return c.Token
}

// end ends the session of id for a reason of the hub's own.
func (h *fakeHub) end(id iot.Identity, reason error) {
	h.mu.Lock()
	s := h.sessions[id]
	delete(h.sessions, id)
	if s != nil {
		s.ended, s.deliver = reason, nil
	}
	h.mu.Unlock()
	if s != nil {
		s.client.Ended(reason)
	}
}

// push has a command for a device.
func (h *fakeHub) push(id iot.Identity, d iot.Delivery) {
	h.mu.Lock()
	h.commands[id] = append(h.commands[id], d)
	s := h.sessions[id]
	h.mu.Unlock()
	if s != nil {
		s.pump()
	}
}

// release calls back for all that is held.
func (h *fakeHub) release(err error) {
	h.mu.Lock()
	held := h.held
	h.held, h.hold = nil, false
	h.mu.Unlock()
	for _, done := range held {
		done(err)
	}
}

func (s *fakeSession) err() error {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return s.ended
}

func (s *fakeSession) Identity() iot.Identity { return s.id }

func (s *fakeSession) Send(batch []iot.Message, done func(error)) {
	if err := s.err(); err != nil {
		done(err)
		return
	}
	for i := range batch {
		s.hub.note("! send %v %s", s.id, messageText(&batch[i]))
	}
	s.hub.mu.Lock()
	refusal, hold := s.hub.refusal, s.hub.hold
	if refusal == nil && hold {
		s.hub.held = append(s.hub.held, done)
	}
	s.hub.mu.Unlock()
	if refusal != nil || !hold {
		done(refusal)
	}
}

func messageText(m *iot.Message) string {
	var b strings.Builder
	if b.WriteString(string(m.Body)); len(m.Body) > 100 {
		b.Reset()
		fmt.Fprintf(&b, "(%d bytes)", len(m.Body))
	}
	for _, v := range m.System {
		fmt.Fprintf(&b, " $%v=%q", v.Name, v.Value)
	}
	for _, p := range m.Properties {
		fmt.Fprintf(&b, " %s=%q", p.Key, p.Value)
	}
	return b.String()
}

func (s *fakeSession) Commands(deliver func(iot.Delivery)) (iot.Subscription, error) {
	s.hub.note("! listen %v", s.id)
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.deliver = deliver
	return fakeFlow{s}, s.ended
}

// A fakeFlow is the subscription for commands.
type fakeFlow struct{ s *fakeSession }

func (f fakeFlow) Grant(n int) {
	f.s.hub.mu.Lock()
	f.s.credit += n
	f.s.hub.mu.Unlock()
	f.s.pump()
}

func (f fakeFlow) Revoke() int {
	f.s.hub.mu.Lock()
	defer f.s.hub.mu.Unlock()
	n := f.s.credit
	f.s.credit = 0
	return n
}

func (f fakeFlow) Close() {}

func (s *fakeSession) pump() {
	s.hub.mu.Lock()
	var deliver func(iot.Delivery)
	var d iot.Delivery
	if waiting := s.hub.commands[s.id]; s.credit > 0 && s.deliver != nil && len(waiting) > 0 {
		deliver, d = s.deliver, waiting[0]
		s.hub.commands[s.id] = waiting[1:]
		s.credit--
	}
	s.hub.mu.Unlock()
	if deliver != nil {
		deliver(d)
	}
}

func (s *fakeSession) Settle(_ context.Context, token string, o iot.Outcome) error {
	if err := s.err(); err != nil {
		return err
	}
	s.hub.note("! settle %v %s %s", s.id, token, [...]string{"", "complete", "abandon", "reject"}[o])
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return s.hub.failure
}

func (s *fakeSession) InvokeMethod(_ context.Context, target iot.Identity, call iot.MethodCall) (iot.MethodResult, error) {
	s.hub.note("! invoke %v from %v: %s %s response=%v connect=%v", target, s.id, call.Name, call.Payload, call.ResponseTimeout, call.ConnectTimeout)
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return s.hub.result, s.hub.failure
}

func (s *fakeSession) Renew(_ context.Context, creds iot.Credentials) error {
	s.hub.note("! renew %v %s", s.id, proofText(creds))
	if err := judge(creds); err != nil {
		return err
	}
	return s.err()
}

func (s *fakeSession) Close() error {
	s.hub.mu.Lock()
	first := s.ended == nil
	if first {
		s.ended = iot.ErrClosed
		if s.hub.sessions[s.id] == s {
			delete(s.hub.sessions, s.id)
		}
	}
	s.hub.mu.Unlock()
	if first {
		s.hub.note("! close %v", s.id)
	}
	return nil
}

func (s *fakeSession) Inputs(func(iot.Delivery)) (iot.Subscription, error) {
	panic("HTTPS clients have no inputs")
}

func (s *fakeSession) Methods(func(iot.MethodCall, func(iot.MethodResult))) (iot.Subscription, error) {
	panic("HTTPS clients answer no methods")
}

func (s *fakeSession) DesiredChanges(func(json.RawMessage)) (iot.Subscription, error) {
	panic("HTTPS clients have no twin")
}

func (s *fakeSession) Twin(context.Context) (iot.Twin, error) { panic("HTTPS clients have no twin") }

func (s *fakeSession) PatchReported(context.Context, json.RawMessage) (int64, error) {
	panic("HTTPS clients have no twin")
}
