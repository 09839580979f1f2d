package amqphead_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"sluice/internal/sas"
	"sluice/iot"
)

// A fakeHub is a hub that notes what it is asked and does as it is told. It keeps
// the promises of [iot.Hub]: one session per identity, nothing delivered that was
// not granted, nothing after the end.
type fakeHub struct {
	note  func(format string, args ...any)
	quiet bool // telemetry is not noted

	mu       sync.Mutex
	sessions map[iot.Identity]*fakeSession
	judging  func(iot.Credentials) error // of Connect; nil to accept
	admit    func()                      // runs before Connect returns, without mu
	hold     bool                        // keep what is sent, without calling back
	held     []func(error)
	refusal  error                       // of Send
	settling func(context.Context) error // of Settle; runs without mu
	closed   map[string]error            // what cannot be subscribed to, by "commands", "methods", …
	twin     iot.Twin
	twinErr  error
	asked    func(context.Context) error // of Twin; runs without mu
	patches  int64
}

func newFakeHub() *fakeHub {
	return &fakeHub{
		note:     func(string, ...any) {},
		sessions: make(map[iot.Identity]*fakeSession),
		closed:   make(map[string]error),
		twin: iot.Twin{
			Desired: json.RawMessage(`{"interval":5}`), DesiredVersion: 3,
			Reported: json.RawMessage(`{}`), ReportedVersion: 1,
		},
		patches: 1,
	}
}

type fakeSession struct {
	hub    *fakeHub
	creds  iot.Credentials
	client iot.Client

	// Guarded by hub.mu.
	ended   error
	flow    *fakeFlow
	methods func(iot.MethodCall, func(iot.MethodResult))
	desired func(json.RawMessage)
}

func (h *fakeHub) Connect(_ context.Context, creds iot.Credentials, client iot.Client) (iot.Session, error) {
	h.note("! connect %v %s %s", creds.Identity, proofText(creds), clientText(client))
	h.mu.Lock()
	judging, admit := h.judging, h.admit
	h.mu.Unlock()
	if judging != nil {
		if err := judging(creds); err != nil {
			return nil, err
		}
	}
	h.end(creds.Identity, iot.ErrTakenOver)
	s := &fakeSession{hub: h, creds: creds, client: client}
	h.mu.Lock()
	h.sessions[creds.Identity] = s
	h.mu.Unlock()
	if admit != nil {
		admit()
	}
	return s, nil
}

func proofText(c iot.Credentials) string {
	text := fmt.Sprintf("certificates=%d", len(c.Certificates))
	if c.Token != "" {
		token, err := sas.Parse(c.Token)
		if err != nil {
			return err.Error()
		}
		text = fmt.Sprintf("token=%v/%s", token.Resource.Identity, token.Expiry.UTC().Format("15:04:05"))
	}
	if c.AuthChain != "" {
		text += " chain=" + c.AuthChain
	}
	return text
}

func clientText(c iot.Client) string {
	text := fmt.Sprintf("%s api=%s", c.Protocol, c.APIVersion)
	if c.Product != "" {
		text += fmt.Sprintf(" product=%q", c.Product)
	}
	if c.ModelID != "" {
		text += " model=" + c.ModelID
	}
	return text
}

// end ends the session of id for a reason of the hub's own.
func (h *fakeHub) end(id iot.Identity, reason error) {
	h.mu.Lock()
	s := h.sessions[id]
	if s == nil {
		h.mu.Unlock()
		return
	}
	h.leave(s, reason)
	h.mu.Unlock()
	s.client.Ended(reason)
}

// leave ends a session. h.mu is held.
func (h *fakeHub) leave(s *fakeSession, reason error) {
	s.ended, s.flow, s.methods, s.desired = reason, nil, nil, nil
	if h.sessions[s.creds.Identity] == s {
		delete(h.sessions, s.creds.Identity)
	}
}

// session returns the living session of id.
func (h *fakeHub) session(id iot.Identity) *fakeSession {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sessions[id]
}

// release calls back for all that is held.
func (h *fakeHub) release(err error) {
	h.mu.Lock()
	held := h.held
	h.held = nil
	h.mu.Unlock()
	for _, done := range held {
		done(err)
	}
}

func (s *fakeSession) Identity() iot.Identity { return s.creds.Identity }

func (s *fakeSession) err() error {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return s.ended
}

func (s *fakeSession) Send(batch []iot.Message, done func(error)) {
	if err := s.err(); err != nil {
		done(err)
		return
	}
	for i := range batch {
		if s.hub.quiet {
			break
		}
		s.hub.note("! send %v %s", s.creds.Identity, messageText(&batch[i]))
	}
	if len(batch) > 1 {
		s.hub.note("! batch of %d", len(batch))
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

// messageText is a message's body and its properties, the system ones by their
// names with a dollar sign.
func messageText(m *iot.Message) string {
	var b strings.Builder
	b.WriteString(bodyText(m.Body))
	for _, v := range m.System {
		fmt.Fprintf(&b, " $%v=%q", v.Name, v.Value)
	}
	for _, p := range m.Properties {
		fmt.Fprintf(&b, " %s=%q", p.Key, p.Value)
	}
	return b.String()
}

func bodyText(body []byte) string {
	if len(body) > 200 {
		return fmt.Sprintf("(%d bytes)", len(body))
	}
	return string(body)
}

func (s *fakeSession) Commands(deliver func(iot.Delivery)) (iot.Subscription, error) {
	return s.openFlow("commands", deliver)
}

func (s *fakeSession) Inputs(deliver func(iot.Delivery)) (iot.Subscription, error) {
	return s.openFlow("inputs", deliver)
}

func (s *fakeSession) openFlow(what string, deliver func(iot.Delivery)) (iot.Subscription, error) {
	if err := s.ask(what); err != nil {
		return nil, err
	}
	f := &fakeFlow{session: s, deliver: deliver, what: what}
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.flow = f
	return f, nil
}

func (s *fakeSession) ask(what string) error {
	s.hub.note("! listen %v %s", s.creds.Identity, what)
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if s.ended != nil {
		return s.ended
	}
	return s.hub.closed[what]
}

// A fakeFlow is the subscription for commands or inputs.
type fakeFlow struct {
	session *fakeSession
	what    string
	deliver func(iot.Delivery)

	// Guarded by hub.mu.
	credit  int
	most    int // the highest credit
	waiting []iot.Delivery
	closed  bool

	pumping sync.Mutex // held while delivering, so that deliveries stay in order
}

// push delivers d when it is granted.
func (f *fakeFlow) push(d iot.Delivery) {
	h := f.session.hub
	h.mu.Lock()
	f.waiting = append(f.waiting, d)
	h.mu.Unlock()
	f.pump()
}

func (f *fakeFlow) pump() {
	f.pumping.Lock()
	defer f.pumping.Unlock()
	for {
		d, ok := f.next()
		if !ok {
			return
		}
		f.deliver(d)
	}
}

func (f *fakeFlow) next() (d iot.Delivery, ok bool) {
	h := f.session.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if f.closed || f.session.ended != nil || f.credit == 0 || len(f.waiting) == 0 {
		return d, false
	}
	d = f.waiting[0]
	f.waiting = f.waiting[1:]
	f.credit--
	return d, true
}

func (f *fakeFlow) Grant(n int) {
	h := f.session.hub
	h.mu.Lock()
	f.credit += n
	f.most = max(f.most, f.credit)
	h.mu.Unlock()
	f.pump()
}

func (f *fakeFlow) Revoke() int {
	h := f.session.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	n := f.credit
	f.credit = 0
	return n
}

func (f *fakeFlow) Close() {
	h := f.session.hub
	h.note("! stop %v %s", f.session.creds.Identity, f.what)
	h.mu.Lock()
	f.closed = true
	h.mu.Unlock()
	f.pumping.Lock() // waits for a delivery under way
	defer f.pumping.Unlock()
}

func (s *fakeSession) Settle(ctx context.Context, token string, o iot.Outcome) error {
	s.hub.mu.Lock()
	settling := s.hub.settling
	s.hub.mu.Unlock()
	if settling != nil {
		if err := settling(ctx); err != nil {
			return err
		}
	}
	if err := s.err(); err != nil {
		return err
	}
	s.hub.note("! settle %v %s %s", s.creds.Identity, token, [...]string{"", "complete", "abandon", "reject"}[o])
	return nil
}

// A fakeInterest is a subscription that is not counted.
type fakeInterest struct {
	session *fakeSession
	what    string
}

func (i fakeInterest) Grant(int)   {}
func (i fakeInterest) Revoke() int { return 0 }

func (i fakeInterest) Close() {
	s := i.session
	s.hub.note("! stop %v %s", s.creds.Identity, i.what)
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if i.what == "methods" {
		s.methods = nil
	} else {
		s.desired = nil
	}
}

func (s *fakeSession) Methods(invoke func(iot.MethodCall, func(iot.MethodResult))) (iot.Subscription, error) {
	if err := s.ask("methods"); err != nil {
		return nil, err
	}
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.methods = invoke
	return fakeInterest{s, "methods"}, nil
}

func (s *fakeSession) DesiredChanges(changed func(json.RawMessage)) (iot.Subscription, error) {
	if err := s.ask("desired"); err != nil {
		return nil, err
	}
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.desired = changed
	return fakeInterest{s, "desired"}, nil
}

func (s *fakeSession) InvokeMethod(context.Context, iot.Identity, iot.MethodCall) (iot.MethodResult, error) {
	panic("AMQP clients cannot invoke methods")
}

func (s *fakeSession) Twin(ctx context.Context) (iot.Twin, error) {
	s.hub.note("! twin %v", s.creds.Identity)
	s.hub.mu.Lock()
	twin, err, asked := s.hub.twin, s.hub.twinErr, s.hub.asked
	s.hub.mu.Unlock()
	if asked != nil {
		err = asked(ctx)
	}
	return twin, err
}

func (s *fakeSession) PatchReported(_ context.Context, patch json.RawMessage) (int64, error) {
	s.hub.note("! reported %v %s", s.creds.Identity, bodyText(patch))
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if s.hub.twinErr != nil {
		return 0, s.hub.twinErr
	}
	s.hub.patches++
	return s.hub.patches, nil
}

func (s *fakeSession) Renew(_ context.Context, creds iot.Credentials) error {
	s.hub.note("! renew %v %s", creds.Identity, proofText(creds))
	if err := s.err(); err != nil {
		return err
	}
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if s.hub.judging != nil {
		return s.hub.judging(creds)
	}
	return nil
}

func (s *fakeSession) Close() error {
	if s.err() == nil {
		s.hub.note("! close %v", s.creds.Identity)
	}
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if s.ended == nil {
		s.hub.leave(s, iot.ErrClosed)
	}
	return nil
}

var (
	_ iot.Hub     = (*fakeHub)(nil)
	_ iot.Session = (*fakeSession)(nil)
)
