package gateway

import (
	"context"

	"sluice/internal/presence"
	"sluice/iot"
)

// Connect authenticates an identity against the scope and begins its session.
// An identity that is unknown, or whose proof fails, is asked for at the hub
// once before it is refused: it may have been created, or given a new key, a
// moment ago.
func (g *Gateway) Connect(ctx context.Context, creds iot.Credentials, client iot.Client) (iot.Session, error) {
	s := g.newSession()
	err := g.sessions.Enter(s, creds, client)
	if err != nil && g.Online() && creds.Identity.Validate() == nil && g.scope.Lookup(ctx, creds.Identity) {
		s = g.newSession()
		err = g.sessions.Enter(s, creds, client)
	}
	if err != nil {
		g.counts.ConnectFailed.Add(1)
		return nil, err
	}
	g.counts.Connected.Add(1)
	g.clients.note(s.Identity(), true, g.opt.Now())
	return s, nil
}

// seats makes the table of the gateway's sessions.
func (g *Gateway) seats() *presence.Table[*session] {
	return presence.NewTable(presence.Options[*session]{
		Auth: g.auth,
		Left: g.left,
		Log:  g.log,
	})
}
