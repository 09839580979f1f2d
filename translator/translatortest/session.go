package translatortest

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"

	"sluice/iot"
)

// session is the translator's connection. What it cannot do a translator does not
// need.
type session struct {
	g      *Gateway
	client iot.Client

	mu      sync.Mutex
	deliver func(iot.Delivery)
	desired func(json.RawMessage)
	granted int
}

var errNotHere = errors.New("translatortest: a translator does not need this")

func (s *session) Identity() iot.Identity { return iot.ModuleIdentity("edge-1", Module) }

func (s *session) Send(batch []iot.Message, done func(error)) {
	g := s.g
	g.mu.Lock()
	if g.now != s {
		g.mu.Unlock()
		done(iot.ErrClosed)
		return
	}
	if g.refuse != nil {
		for _, m := range batch {
			if err := g.refuse(m); err != nil {
				g.mu.Unlock()
				done(err)
				return
			}
		}
	}
	batch = slices.Clone(batch)
	if g.hold {
		g.held = append(g.held, held{batch, done})
		g.changed.Broadcast()
		g.mu.Unlock()
		return
	}
	g.safe = append(g.safe, batch...)
	g.changed.Broadcast()
	g.mu.Unlock()
	done(nil)
}

// over fails what was held.
func (s *session) over(lost []held) {
	for _, h := range lost {
		h.done(iot.ErrClosed)
	}
}

func (s *session) Inputs(deliver func(iot.Delivery)) (iot.Subscription, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deliver = deliver
	return &subscription{s}, nil
}

type subscription struct{ s *session }

func (b *subscription) Grant(n int) {
	b.s.mu.Lock()
	b.s.granted += n
	b.s.mu.Unlock()
	b.s.push()
}

func (b *subscription) Revoke() int {
	b.s.mu.Lock()
	defer b.s.mu.Unlock()
	n := b.s.granted
	b.s.granted = 0
	return n
}

func (b *subscription) Close() { b.Revoke() }

// push delivers what is granted.
func (s *session) push() {
	for {
		s.mu.Lock()
		s.g.mu.Lock()
		if s.deliver == nil || s.granted == 0 || len(s.g.down) == 0 || s.g.now != s {
			s.g.mu.Unlock()
			s.mu.Unlock()
			return
		}
		m := s.g.down[0]
		s.g.down = s.g.down[1:]
		s.granted--
		s.g.mu.Unlock()
		deliver := s.deliver
		s.mu.Unlock()
		deliver(iot.Delivery{Message: m, LockToken: m.System.Get(iot.MessageID)})
	}
}

func (s *session) Settle(context.Context, string, iot.Outcome) error { return nil }

func (s *session) Twin(context.Context) (iot.Twin, error) {
	s.g.mu.Lock()
	defer s.g.mu.Unlock()
	return s.g.twin, nil
}

func (s *session) PatchReported(_ context.Context, patch json.RawMessage) (int64, error) {
	s.g.mu.Lock()
	defer s.g.mu.Unlock()
	s.g.twin.Reported = slices.Clone(patch)
	s.g.twin.ReportedVersion++
	s.g.changed.Broadcast()
	return s.g.twin.ReportedVersion, nil
}

func (s *session) DesiredChanges(changed func(json.RawMessage)) (iot.Subscription, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.desired = changed
	return &subscription{s}, nil
}

func (s *session) tellDesired(doc json.RawMessage) {
	s.mu.Lock()
	changed := s.desired
	s.mu.Unlock()
	if changed != nil {
		changed(doc)
	}
}

func (s *session) Commands(func(iot.Delivery)) (iot.Subscription, error) { return nil, errNotHere }

func (s *session) Methods(func(iot.MethodCall, func(iot.MethodResult))) (iot.Subscription, error) {
	return nil, errNotHere
}

func (s *session) InvokeMethod(context.Context, iot.Identity, iot.MethodCall) (iot.MethodResult, error) {
	return iot.MethodResult{}, errNotHere
}

func (s *session) Renew(context.Context, iot.Credentials) error { return nil }

func (s *session) Close() error {
	g := s.g
	g.mu.Lock()
	var lost []held
	if g.now == s {
		g.now = nil
		lost, g.held = g.held, nil
	}
	g.mu.Unlock()
	s.over(lost)
	return nil
}
