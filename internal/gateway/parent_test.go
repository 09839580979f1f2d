package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"sluice/internal/sas"
	"sluice/iot"
)

// fakeParent is a hub in memory that can be cut off, refuse identities and
// dislike messages.
type fakeParent struct {
	mu       sync.Mutex
	away     bool
	regs     []iot.Registration
	refused  map[iot.Identity]bool
	poison   string // a body that is refused
	hangup   string // a body at which the connection ends
	sessions map[*fakeSession]bool
	got      map[iot.Identity][]string
	creds    map[iot.Identity]iot.Credentials
	throttle bool      // all messages
	tries    int       // to connect
	began    time.Time // the first of them
	lookups  int
	twins    map[iot.Identity]*twinHub // of others there is one that never changes
	changed  chan struct{}             // closed and replaced at every change
}

func newFakeParent(regs ...iot.Registration) *fakeParent {
	return &fakeParent{
		regs:     regs,
		refused:  map[iot.Identity]bool{},
		sessions: map[*fakeSession]bool{},
		got:      map[iot.Identity][]string{},
		creds:    map[iot.Identity]iot.Credentials{},
		changed:  make(chan struct{}),
	}
}

var errAway = iot.Errorf(iot.Unavailable, "fake", iot.Identity{}, "the hub is away")

func (p *fakeParent) Connect(_ context.Context, creds iot.Credentials, client iot.Client) (iot.Session, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tries++; p.tries == 1 {
		p.began = time.Now()
	}
	if p.away {
		p.touch()
		return nil, errAway
	}
	if _, err := sas.Parse(creds.Token); err != nil {
		return nil, iot.Errorf(iot.Unauthorized, "fake", creds.Identity, "%v", err)
	}
	if p.refused[creds.Identity] {
		return nil, iot.Errorf(iot.Unauthorized, "fake", creds.Identity, "refused")
	}
	s := &fakeSession{p: p, id: creds.Identity, client: client}
	p.sessions[s] = true
	p.creds[creds.Identity] = creds
	p.touch()
	return s, nil
}

func (p *fakeParent) InScope(context.Context, iot.Credentials, string) (iot.ScopePage, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.away {
		return iot.ScopePage{}, errAway
	}
	return iot.ScopePage{Identities: p.regs}, nil
}

func (p *fakeParent) Lookup(_ context.Context, _ iot.Credentials, target iot.Identity) ([]iot.Registration, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lookups++
	if p.away {
		return nil, errAway
	}
	for _, r := range p.regs {
		if r.Identity == target {
			return []iot.Registration{r}, nil
		}
	}
	return nil, iot.Errorf(iot.NotFound, "fake", target, "unknown")
}

// touch wakes whoever waits in until. mu is held.
func (p *fakeParent) touch() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// set changes the parent.
func (p *fakeParent) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	p.touch()
}

// cut makes the hub go away, ending its sessions, or come back.
func (p *fakeParent) cut(away bool) {
	p.mu.Lock()
	var cut []*fakeSession
	p.away = away
	if away {
		for s := range p.sessions {
			cut = append(cut, s)
		}
		clear(p.sessions)
	}
	p.touch()
	p.mu.Unlock()
	for _, s := range cut {
		s.client.Ended(errAway)
	}
}

// until waits for a condition on the parent's state.
func (p *fakeParent) until(ctx context.Context, ok func() bool) error {
	for {
		p.mu.Lock()
		done, changed := ok(), p.changed
		p.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return errors.New("it did not happen in time")
		}
	}
}

type fakeSession struct {
	iot.Session // what is not used panics
	p           *fakeParent
	id          iot.Identity
	client      iot.Client
}

func (s *fakeSession) Send(batch []iot.Message, done func(error)) {
	s.p.mu.Lock()
	err := s.take(batch)
	s.p.mu.Unlock()
	done(err)
}

func (s *fakeSession) take(batch []iot.Message) error {
	if !s.p.sessions[s] {
		return errAway
	}
	if s.p.throttle {
		return iot.Errorf(iot.Throttled, "fake", s.id, "too many")
	}
	for _, m := range batch {
		switch body := string(m.Body); body {
		case s.p.poison:
			return iot.Errorf(iot.Invalid, "fake", s.id, "poison")
		case s.p.hangup:
			return iot.Errorf(iot.Unavailable, "fake", s.id, "connection lost")
		}
	}
	for _, m := range batch {
		s.p.got[s.id] = append(s.p.got[s.id], string(m.Body))
	}
	s.p.touch()
	return nil
}

func (s *fakeSession) Close() error {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	delete(s.p.sessions, s)
	s.p.touch()
	return nil
}

func (s *fakeSession) DesiredChanges(changed func(json.RawMessage)) (iot.Subscription, error) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	if h := s.p.twins[s.id]; h != nil {
		h.changed = changed
		s.p.touch()
		return fakeSubscription{}, nil
	}
	return nil, iot.Errorf(iot.Unavailable, "fake", s.id, "no twins here")
}
