package gateway

import (
	"context"
	"sync"
	"time"

	"sluice/iot"
)

// peer is the session of one identity at the hub, shared by those who need it:
// the drain of the identity's lane, and the downlink of its client.
type peer struct {
	id      iot.Identity
	opened  chan struct{} // closed when what follows is set
	session iot.Session
	expires time.Time // of the token that it was opened with
	err     error     // of opening

	gone chan struct{} // closed when the session has ended

	// guarded by peers.mu
	users int
	since time.Time // without users since
	ended bool
}

// stale reports whether the peer's token is about to expire.
func (p *peer) stale(now time.Time) bool { return p.expires.Sub(now) < tokenSpare/2 }

// peers are the sessions at the hub on behalf of identities in scope. They are
// opened when there is something to say or to hear, and closed when they have
// been idle.
type peers struct {
	g *Gateway

	mu   sync.Mutex
	byID map[iot.Identity]*peer
}

// get returns the session of id, which the caller shares until put. The error is
// that of opening it.
func (ps *peers) get(ctx context.Context, id iot.Identity) (*peer, error) {
	for {
		p, mine := ps.join(id)
		if mine {
			ps.open(ctx, p)
		}
		select {
		case <-p.opened:
		case <-ctx.Done():
			ps.put(p)
			return nil, ctx.Err()
		}
		switch {
		case p.err != nil:
			ps.put(p)
			return nil, p.err
		case !p.stale(ps.g.opt.Now()):
			return p, nil
		}
		ps.drop(p)
		ps.put(p)
	}
}

// join takes part in the peer of id, or in a new one, which the caller must open.
func (ps *peers) join(id iot.Identity) (p *peer, mine bool) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if p := ps.byID[id]; p != nil {
		p.users++
		return p, false
	}
	if ps.byID == nil {
		ps.byID = make(map[iot.Identity]*peer)
	}
	p = &peer{id: id, opened: make(chan struct{}), gone: make(chan struct{}), users: 1}
	ps.byID[id] = p
	return p, true
}

// adopt shares the gateway's own session, which the uplink holds: a second one would
// end it. It is shared until drop.
func (ps *peers) adopt(session iot.Session, expires time.Time) *peer {
	p := &peer{
		id: ps.g.own.id, opened: make(chan struct{}), session: session, expires: expires,
		gone: make(chan struct{}), users: 1,
	}
	close(p.opened)
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.byID == nil {
		ps.byID = make(map[iot.Identity]*peer)
	}
	ps.byID[p.id] = p
	return p
}

func (ps *peers) open(ctx context.Context, p *peer) {
	defer close(p.opened)
	if p.id == ps.g.own.id {
		p.err = iot.Errorf(iot.Unavailable, "uplink", p.id, "the gateway's own session is about to begin")
		ps.lost(p)
		return
	}
	creds, expires, err := ps.g.own.behalf(p.id, ps.g.above(p.id))
	if err == nil {
		p.expires = expires
		p.session, err = ps.g.opt.Parent.Connect(ctx, creds, iot.Client{
			Protocol: "gateway",
			Product:  "sluice",
			ModelID:  ps.g.model(p.id),
			Ended:    func(error) { ps.lost(p) },
		})
	}
	if err != nil {
		p.err = err
		ps.lost(p)
	}
}

// model is the plug and play model that an identity has announced. While it is away
// that is none, and the hub keeps what it knows.
func (g *Gateway) model(id iot.Identity) string {
	s, ok := g.sessions.Get(id)
	if !ok {
		return ""
	}
	return s.Client().ModelID
}

// put gives a session back.
func (ps *peers) put(p *peer) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p.users--
	p.since = time.Now()
}

// drop closes a session that is not to be used again.
func (ps *peers) drop(p *peer) {
	<-p.opened
	if ps.lost(p) && p.session != nil {
		_ = p.session.Close()
	}
}

// lost notes that a session has ended, and reports whether it had not before.
func (ps *peers) lost(p *peer) bool {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if p.ended {
		return false
	}
	p.ended = true
	close(p.gone)
	if ps.byID[p.id] == p {
		delete(ps.byID, p.id)
	}
	return true
}

// closeIdle closes, until ctx ends, sessions that nobody has used for a while.
func (ps *peers) closeIdle(ctx context.Context) {
	t := time.NewTicker(ps.g.opt.IdleTimeout / 4)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			ps.closeWhere(func(p *peer) bool {
				return p.users == 0 && time.Since(p.since) >= ps.g.opt.IdleTimeout
			})
		}
	}
}

func (ps *peers) closeAll() { ps.closeWhere(func(*peer) bool { return true }) }

func (ps *peers) closeWhere(idle func(*peer) bool) {
	ps.mu.Lock()
	var done []*peer
	for _, p := range ps.byID {
		if idle(p) {
			done = append(done, p)
		}
	}
	ps.mu.Unlock()
	for _, p := range done {
		ps.drop(p)
	}
}
