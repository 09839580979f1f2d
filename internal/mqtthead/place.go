package mqtthead

import (
	"sync"

	"sluice/iot"
	"sluice/mqtt"
)

// places are the identities that are connected to a head or about to be. They are
// for wills: a session that was taken over can send nothing any more, but the one
// that took over is the same sender, and sends its will.
type places struct {
	mu   sync.Mutex
	byID map[iot.Identity]*place
}

// A place is what a head knows of one identity's connections. The hub ends the
// session before it admits the next, so that the old connection may close before
// the new one is known here.
type place struct {
	latest *session        // nil while none is connected
	coming int             // connections that the hub is judging
	wills  []*mqtt.Message // for the next of those
}

// expect says that a connection of id is before the hub.
func (p *places) expect(id iot.Identity) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.byID[id]
	if at == nil {
		at = &place{}
		p.byID[id] = at
	}
	at.coming++
}

// withdraw says that an expected connection does not come. It returns the wills
// that nobody is left to publish.
func (p *places) withdraw(id iot.Identity) (lost []*mqtt.Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.byID[id]
	at.coming--
	if at.latest == nil && at.coming == 0 {
		lost = at.wills
	}
	p.tidy(id, at)
	return lost
}

// enter says that an expected connection has its session, and returns the wills
// that it is to publish.
func (p *places) enter(s *session) (wills []*mqtt.Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.byID[s.id]
	at.coming--
	wills, at.wills = at.wills, nil
	if s.over.Load() {
		// A newer one was faster, and may be here already.
		p.tidy(s.id, at)
		return wills
	}
	at.latest = s
	return wills
}

// leave gives up the place of s, if it has one.
func (p *places) leave(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at := p.byID[s.id]; at != nil && at.latest == s {
		at.latest = nil
		p.tidy(s.id, at)
	}
}

// bequeath finds who publishes the will of s, which was taken over: the session
// that it returns; or, with nil and true, one that is still coming. It reports
// false if there is none, because the identity is now connected elsewhere.
func (p *places) bequeath(s *session, will *mqtt.Message) (heir *session, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.byID[s.id]
	switch {
	case at == nil:
		return nil, false
	case at.latest != nil && at.latest != s:
		return at.latest, true
	case at.coming > 0:
		at.wills = append(at.wills, will)
		return nil, true
	}
	return nil, false
}

// tidy forgets an empty place. p.mu is held.
func (p *places) tidy(id iot.Identity, at *place) {
	if at.latest == nil && at.coming == 0 {
		delete(p.byID, id)
	}
}
