package gateway

import (
	"context"
	"fmt"

	"sluice/iot"
)

// A gateway is the hub of gateways below it: they ask it for their scope, and
// their devices' messages come through it.
var _ iot.Parent = (*Gateway)(nil)

// above lists the edge devices above an identity, from the nearest to the
// gateway's own. An identity that is not known any more is taken for a child of
// the gateway's own: the hub judges.
func (g *Gateway) above(id iot.Identity) (devices []string) {
	own := g.opt.Device
	edges, err := g.auth.Ancestors(id)
	if err != nil {
		return []string{own}
	}
	for _, e := range edges {
		if e.Identity != id {
			devices = append(devices, e.Identity.Device)
		}
		if e.Identity.Device == own {
			return devices
		}
	}
	return []string{own}
}

// InScope lists the scope of a gateway below this one to its $edgeHub, whether the
// hub is there or not.
func (g *Gateway) InScope(ctx context.Context, creds iot.Credentials, _ string) (iot.ScopePage, error) {
	edge, err := g.edgeBelow(ctx, creds)
	if err != nil {
		return iot.ScopePage{}, err
	}
	return iot.ScopePage{Identities: g.scope.Below(edge)}, nil
}

// Lookup tells a gateway below this one of one identity in its scope.
func (g *Gateway) Lookup(ctx context.Context, creds iot.Credentials, target iot.Identity) ([]iot.Registration, error) {
	edge, err := g.edgeBelow(ctx, creds)
	if err != nil {
		return nil, err
	}
	found, ok := g.find(target, edge)
	if !ok && g.Online() && g.scope.Lookup(ctx, target) {
		found, ok = g.find(target, edge)
	}
	if !ok {
		return nil, iot.Errorf(iot.NotFound, "scope", target, "it is not registered, or not in the scope of %s", edge.Identity)
	}
	return found, nil
}

// find returns an identity below an edge device, after its device if it is a
// module.
func (g *Gateway) find(target iot.Identity, edge iot.Registration) ([]iot.Registration, bool) {
	r, ok := g.scope.Registration(target)
	if !ok || !g.isBelow(target, edge.Identity) {
		return nil, false
	}
	if !target.IsModule() {
		return []iot.Registration{r}, true
	}
	device, ok := g.scope.Registration(target.Owner())
	return []iot.Registration{device, r}, ok
}

func (g *Gateway) isBelow(id, edge iot.Identity) bool {
	edges, err := g.auth.Ancestors(id)
	if err != nil {
		return false
	}
	for _, e := range edges {
		if e.Identity == edge {
			return true
		}
	}
	return false
}

// edgeBelow returns the edge device that creds prove to be the $edgeHub of.
func (g *Gateway) edgeBelow(ctx context.Context, creds iot.Credentials) (iot.Registration, error) {
	if err := g.judge(ctx, creds); err != nil {
		return iot.Registration{}, err
	}
	edge, ok := g.scope.Registration(creds.Identity.Owner())
	if !ok || !edge.Edge || creds.Identity.Module != iot.EdgeHubModule {
		return iot.Registration{}, iot.Errorf(iot.Forbidden, "scope", creds.Identity, "only the $edgeHub module of an edge device may ask")
	}
	return edge, nil
}

// EdgeBelow reports whether creds prove to be an edge device below this gateway: nil,
// or why not.
func (g *Gateway) EdgeBelow(ctx context.Context, creds iot.Credentials) error {
	_, err := g.auth.Authenticate(creds)
	if err != nil && g.Online() && creds.Identity.Validate() == nil && g.scope.Lookup(ctx, creds.Identity) {
		_, err = g.auth.Authenticate(creds)
	}
	if err != nil {
		return err
	}
	edge, ok := g.scope.Registration(creds.Identity)
	if !ok || !edge.Edge || creds.Identity.IsModule() || creds.Identity.Device == g.opt.Device {
		return iot.Errorf(iot.Forbidden, "nested", creds.Identity, "only an edge device below this gateway may ask")
	}
	return nil
}

// Learn asks the hub about an identity that the caller knows to have changed.
func (g *Gateway) Learn(ctx context.Context, id iot.Identity) error {
	if err := g.scope.Learn(ctx, id); err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	return nil
}

// RefreshScope asks the hub at once whom the gateway may serve, which it does by
// itself every so often and whenever the uplink comes back.
func (g *Gateway) RefreshScope(ctx context.Context) error { return g.scope.Refresh(ctx) }
