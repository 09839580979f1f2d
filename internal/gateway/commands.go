package gateway

import (
	"context"
	"sync"

	"sluice/iot"
)

// commandFlow carries commands from the hub to a client. They stay at the hub
// until the client has settled them: the gateway keeps none, so a client that is
// away costs nothing and misses nothing.
type commandFlow struct {
	d       *downlink
	deliver func(iot.Delivery)

	mu     sync.Mutex
	credit int              // granted by the client and not delivered
	up     iot.Subscription // at the hub, or nil
	from   map[string]*peer // who delivered what is not settled, by lock token
	at     *peer            // of up
	closed bool

	serial  uint64
	waiting []*handed          // by somebody at the machine, for credit
	handed  map[string]*handed // delivered and not settled, by lock token
}

var _ iot.Subscription = (*commandFlow)(nil)

// Commands asks for the cloud-to-device messages of the session's identity.
func (s *session) Commands(deliver func(iot.Delivery)) (iot.Subscription, error) {
	if err := s.Err(); err != nil {
		return nil, err
	}
	f := &commandFlow{d: &s.down, deliver: deliver, from: map[string]*peer{}, handed: map[string]*handed{}}
	s.down.mu.Lock()
	before := s.down.commands
	s.down.commands = f
	s.down.begin()
	s.down.mu.Unlock()
	if before != nil {
		before.Close()
	}
	return f, nil
}

func (f *commandFlow) attach(_ context.Context, p *peer) error {
	up, err := p.session.Commands(func(d iot.Delivery) { f.take(p, d) })
	if err != nil {
		return err
	}
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		up.Close()
		return nil
	}
	f.up, f.at = up, p
	credit := f.credit
	f.mu.Unlock()
	if credit > 0 {
		up.Grant(credit)
	}
	return nil
}

// detach forgets the hub's session. What it delivered comes again from the next.
func (f *commandFlow) detach() {
	f.mu.Lock()
	up := f.up
	f.up, f.at = nil, nil
	clear(f.from)
	f.mu.Unlock()
	if up != nil {
		up.Close()
	}
}

// take passes a delivery on.
func (f *commandFlow) take(p *peer, d iot.Delivery) {
	f.mu.Lock()
	closed := f.closed
	if !closed {
		f.credit--
		f.from[d.LockToken] = p
	}
	f.mu.Unlock()
	if !closed {
		f.deliver(d)
	}
}

// Grant allows n more commands.
func (f *commandFlow) Grant(n int) {
	f.mu.Lock()
	f.credit += n
	up := f.up
	var now []*handed
	var tokens []string
	for ; n > 0; n-- {
		h, token := f.next()
		if h == nil {
			break
		}
		now, tokens = append(now, h), append(tokens, token)
	}
	f.mu.Unlock()
	if up != nil && n > 0 {
		up.Grant(n)
	}
	for i, h := range now {
		f.pass(h, tokens[i])
	}
}

// Revoke withdraws what was granted and not used.
func (f *commandFlow) Revoke() int {
	f.mu.Lock()
	up := f.up
	f.mu.Unlock()
	if up != nil {
		up.Revoke() // after it nothing more comes, and credit is what it was
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n := max(0, f.credit)
	f.credit = 0
	return n
}

// Close ends the interest. What is not settled comes again.
func (f *commandFlow) Close() {
	f.mu.Lock()
	f.closed = true
	up := f.up
	f.up = nil
	clear(f.from)
	f.giveUp()
	f.mu.Unlock()
	f.d.mu.Lock()
	if f.d.commands == f {
		f.d.commands = nil
	}
	f.d.mu.Unlock()
	if up != nil {
		up.Close()
	}
}

// Settle ends a delivery: of an input here, of a command at the hub.
func (s *session) Settle(ctx context.Context, lockToken string, outcome iot.Outcome) error {
	s.down.mu.Lock()
	f, inputs := s.down.commands, s.down.inputs
	s.down.mu.Unlock()
	if inputs != nil && inputs.settle(lockToken, outcome) {
		return nil
	}
	if f != nil && f.took(lockToken, outcome) {
		return nil
	}
	if f != nil {
		if p := f.settled(lockToken); p != nil {
			return p.session.Settle(ctx, lockToken, outcome)
		}
	}
	return iot.Errorf(iot.NotFound, "settle", s.Identity(), "no such delivery: its lock ended, or the uplink was lost")
}

func (f *commandFlow) settled(lockToken string) *peer {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.from[lockToken]
	delete(f.from, lockToken)
	return p
}
