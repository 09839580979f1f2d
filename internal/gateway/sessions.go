package gateway

import (
	"context"
	"sync"
	"time"

	"sluice/internal/auth"
	"sluice/iot"
)

// sweepEvery is how often expired tokens are looked for. A session ends within
// this time of its token.
const sweepEvery = 5 * time.Second

// sessions are the identities that are connected, each at most once.
type sessions struct {
	mu   sync.Mutex
	byID map[iot.Identity]*session
}

// put makes s the session of its identity and returns the one before, or nil.
func (t *sessions) put(s *session) (before *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byID == nil {
		t.byID = make(map[iot.Identity]*session)
	}
	before = t.byID[s.id]
	t.byID[s.id] = s
	return before
}

// remove takes s out, unless its identity has another session by now.
func (t *sessions) remove(s *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byID[s.id] == s {
		delete(t.byID, s.id)
	}
}

func (t *sessions) all() []*session {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]*session, 0, len(t.byID))
	for _, s := range t.byID {
		all = append(all, s)
	}
	return all
}

func (t *sessions) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.byID)
}

// Connect authenticates an identity against the scope and begins its session.
// An identity that is unknown, or whose proof fails, is asked for at the hub
// once before it is refused: it may have been created, or given a new key, a
// moment ago.
func (g *Gateway) Connect(ctx context.Context, creds iot.Credentials, client iot.Client) (iot.Session, error) {
	result, err := g.auth.Authenticate(creds)
	if err != nil && g.Online() && creds.Identity.Validate() == nil && g.scope.Lookup(ctx, creds.Identity) {
		result, err = g.auth.Authenticate(creds)
	}
	if err != nil {
		g.counts.ConnectFailed.Add(1)
		return nil, err
	}
	s := &session{g: g, id: creds.Identity, client: client}
	s.prove(creds, result)
	if before := g.sessions.put(s); before != nil {
		g.log.Info("connection taken over", "identity", s.id, "from", before.client.RemoteAddr, "by", client.RemoteAddr)
		before.end(iot.ErrTakenOver)
	}
	g.counts.Connected.Add(1)
	return s, nil
}

// reauthenticate judges every session again after the scope has changed, and
// ends those that would not be let in any more. Tokens count as they did when
// they were shown: only what is registered has changed.
func (g *Gateway) reauthenticate() {
	for _, s := range g.sessions.all() {
		creds, provedAt := s.proof()
		judge := g.auth
		judge.Now = func() time.Time { return provedAt }
		if _, err := judge.Authenticate(creds); err != nil {
			g.log.Info("connection ended: the hub no longer allows it", "identity", s.id, "err", err)
			s.end(g.endReason(s.id, err))
		}
	}
}

func (g *Gateway) endReason(id iot.Identity, err error) error {
	reg, known := g.scope.Registration(id)
	switch {
	case auth.IsUnknown(err) || !known:
		return iot.ErrRemoved
	case !reg.Enabled:
		return iot.ErrDisabled
	}
	return err
}

// sweep ends sessions whose token has expired.
func (g *Gateway) sweep(ctx context.Context) {
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		for _, s := range g.sessions.all() {
			if s.expired() {
				g.log.Info("connection ended: its token expired", "identity", s.id)
				s.end(iot.ErrTokenExpired)
			}
		}
	}
}
