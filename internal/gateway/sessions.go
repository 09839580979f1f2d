package gateway

import (
	"context"

	"sluice/internal/gateway/meter"
	"sluice/internal/presence"
	"sluice/iot"
)

// Connect authenticates an identity against the scope and begins its session.
// An identity that is unknown, or whose proof fails, is asked for at the hub
// once before it is refused: it may have been created, or given a new key, a
// moment ago.
func (g *Gateway) Connect(ctx context.Context, creds iot.Credentials, client iot.Client) (iot.Session, error) {
	s, err := g.admit(ctx, creds, client, g.sessions.Enter)
	if err != nil {
		return nil, err
	}
	g.counts.Connected.Add(1)
	s.meter.Add(meter.Series{Quantity: meter.Connects}, 1)
	g.clients.note(s.Identity(), true, g.opt.Now())
	return s, nil
}

// Visit is Connect for a request that comes by itself, as over HTTPS: it leaves a
// connection that the identity has alone, and is none.
func (g *Gateway) Visit(ctx context.Context, creds iot.Credentials, client iot.Client) (iot.Session, error) {
	s, err := g.admit(ctx, creds, client, func(s *session, creds iot.Credentials, client iot.Client) error {
		s.visits = true
		return g.sessions.Visit(s, creds, client)
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// admit lets a session in by one of the table's doors.
func (g *Gateway) admit(ctx context.Context, creds iot.Credentials, client iot.Client, door func(*session, iot.Credentials, iot.Client) error) (*session, error) {
	s := g.newSession()
	err := door(s, creds, client)
	if err != nil && g.Online() && creds.Identity.Validate() == nil && g.scope.Lookup(ctx, creds.Identity) {
		s = g.newSession()
		err = door(s, creds, client)
	}
	if _, asOf := g.scope.Len(); err != nil && asOf.IsZero() {
		err = &iot.Error{Kind: iot.Unavailable, Op: "connect", Identity: creds.Identity, Detail: "the hub has not yet said whom this gateway serves", Err: err}
	}
	if err != nil {
		g.connectFailed(creds.Identity, err)
		return nil, err
	}
	s.meter, s.pace = g.meters.Of(s.Identity()), g.paces.of(s.Identity())
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

// connectFailed counts a refusal. Names that strangers make up are not kept.
func (g *Gateway) connectFailed(id iot.Identity, err error) {
	g.counts.ConnectFailed.Add(1)
	if _, known := g.scope.Registration(id); !known {
		id = iot.Identity{}
	}
	reason := "not_available"
	switch iot.KindOf(err) {
	case iot.Unauthorized, iot.Forbidden:
		reason = "not_authenticated" // edgeHub's word
	case iot.Throttled:
		reason = "throttled"
	}
	g.meters.Of(id).Add(meter.Series{Quantity: meter.ConnectsFailed, Reason: reason}, 1)
}
