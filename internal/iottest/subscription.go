package iottest

import (
	"encoding/json"
	"sync"

	"sluice/iot"
)

// Commands implements [iot.Session].
func (s *Session) Commands(deliver func(iot.Delivery)) (iot.Subscription, error) {
	return s.openFlow("commands", deliver)
}

// Inputs implements [iot.Session].
func (s *Session) Inputs(deliver func(iot.Delivery)) (iot.Subscription, error) {
	return s.openFlow("inputs", deliver)
}

func (s *Session) openFlow(what string, deliver func(iot.Delivery)) (iot.Subscription, error) {
	if err := s.ask(what); err != nil {
		return nil, err
	}
	f := &flow{session: s, deliver: deliver, what: what}
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.flow = f
	return f, nil
}

// Methods implements [iot.Session].
func (s *Session) Methods(invoke func(iot.MethodCall, func(iot.MethodResult))) (iot.Subscription, error) {
	if err := s.ask("methods"); err != nil {
		return nil, err
	}
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.methods = invoke
	return interest{s, "methods"}, nil
}

// DesiredChanges implements [iot.Session].
func (s *Session) DesiredChanges(changed func(json.RawMessage)) (iot.Subscription, error) {
	if err := s.ask("desired"); err != nil {
		return nil, err
	}
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.desired = changed
	return interest{s, "desired"}, nil
}

func (s *Session) ask(what string) error {
	s.hub.note("! listen %v %s", s.id, what)
	if err := s.err(); err != nil {
		return err
	}
	return s.hub.NotGiven[what]
}

// A flow is the subscription for commands or inputs.
type flow struct {
	session *Session
	what    string
	deliver func(iot.Delivery)

	// Guarded by hub.mu.
	credit int
	most   int // the highest credit
	closed bool

	pumping sync.Mutex // held while delivering, so that deliveries stay in order
}

// pump delivers what waits, as far as it is granted.
func (f *flow) pump() {
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

func (f *flow) next() (d iot.Delivery, ok bool) {
	h, id := f.session.hub, f.session.id
	h.mu.Lock()
	defer h.mu.Unlock()
	waiting := h.waiting[id]
	if f.closed || f.session.ended != nil || f.credit == 0 || len(waiting) == 0 {
		return d, false
	}
	h.waiting[id] = waiting[1:]
	f.credit--
	return waiting[0], true
}

// Grant implements [iot.Subscription].
func (f *flow) Grant(n int) {
	h := f.session.hub
	h.mu.Lock()
	f.credit += n
	f.most = max(f.most, f.credit)
	h.mu.Unlock()
	f.pump()
}

// Revoke implements [iot.Subscription].
func (f *flow) Revoke() int {
	h := f.session.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	n := f.credit
	f.credit = 0
	return n
}

// Close implements [iot.Subscription].
func (f *flow) Close() {
	h := f.session.hub
	h.note("! stop %v %s", f.session.id, f.what)
	h.mu.Lock()
	f.closed = true
	h.mu.Unlock()
	f.pumping.Lock() // waits for a delivery under way
	defer f.pumping.Unlock()
}

// An interest is a subscription that is not counted.
type interest struct {
	session *Session
	what    string
}

func (interest) Grant(int)   {}
func (interest) Revoke() int { return 0 }

func (i interest) Close() {
	s := i.session
	s.hub.note("! stop %v %s", s.id, i.what)
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if i.what == "methods" {
		s.methods = nil
	} else {
		s.desired = nil
	}
}
