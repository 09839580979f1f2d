package gateway

import (
	"context"
	"sync"
	"time"

	"sluice/iot"
)

// peer is the session of one identity at the hub.
type peer struct {
	id      iot.Identity
	session iot.Session
	expires time.Time // of the token that it was opened with

	// guarded by peers.mu
	used  bool      // by a drain
	since time.Time // unused since
	ended bool      // by the hub, or dropped
}

// stale reports whether the peer's token is about to expire.
func (p *peer) stale(now time.Time) bool { return p.expires.Sub(now) < tokenSpare/2 }

// peers are the sessions at the hub on behalf of identities in scope. They are
// opened when there is something to say, and closed when they have been idle.
// The spool gives a lane to one drain at a time, so a peer has one user.
type peers struct {
	g *Gateway

	mu   sync.Mutex
	byID map[iot.Identity]*peer
}

// get returns the session of id for the caller's sole use until put.
func (ps *peers) get(ctx context.Context, id iot.Identity) (*peer, error) {
	if p := ps.reuse(id); p != nil {
		return p, nil
	}
	creds, expires, err := ps.g.own.behalf(id)
	if err != nil {
		return nil, err
	}
	p := &peer{id: id, expires: expires, used: true}
	p.session, err = ps.g.opt.Parent.Connect(ctx, creds, iot.Client{
		Protocol: "gateway",
		Product:  "sluice",
		Ended:    func(error) { ps.lost(p) },
	})
	if err != nil {
		return nil, err
	}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.byID == nil {
		ps.byID = make(map[iot.Identity]*peer)
	}
	ps.byID[id] = p
	return p, nil
}

// reuse returns the session that is open, if its token lasts.
func (ps *peers) reuse(id iot.Identity) *peer {
	ps.mu.Lock()
	p := ps.byID[id]
	if p == nil {
		ps.mu.Unlock()
		return nil
	}
	if p.ended || p.stale(ps.g.opt.Now()) {
		delete(ps.byID, id)
		ps.mu.Unlock()
		_ = p.session.Close()
		return nil
	}
	p.used = true
	ps.mu.Unlock()
	return p
}

// put gives a session back.
func (ps *peers) put(p *peer) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p.used, p.since = false, time.Now()
}

// drop closes a session that is not to be used again.
func (ps *peers) drop(p *peer) {
	ps.lost(p)
	ps.mu.Lock()
	if ps.byID[p.id] == p {
		delete(ps.byID, p.id)
	}
	ps.mu.Unlock()
	_ = p.session.Close()
}

// lost notes that the hub ended a session.
func (ps *peers) lost(p *peer) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p.ended = true
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
				return !p.used && (p.ended || time.Since(p.since) >= ps.g.opt.IdleTimeout)
			})
		}
	}
}

func (ps *peers) closeAll() { ps.closeWhere(func(*peer) bool { return true }) }

func (ps *peers) closeWhere(idle func(*peer) bool) {
	ps.mu.Lock()
	var done []*peer
	for id, p := range ps.byID {
		if idle(p) {
			delete(ps.byID, id)
			done = append(done, p)
		}
	}
	ps.mu.Unlock()
	for _, p := range done {
		_ = p.session.Close()
	}
}
