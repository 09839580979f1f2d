package gateway

import (
	"context"
	"encoding/json"
	"time"

	"sluice/internal/twin"
	"sluice/iot"
)

// Override changes the desired properties of a member for the member alone: patch is
// merged over those of the hub, with null for what shall not be there, now and whenever
// they change, until another patch takes its place; nil for none. It outlives restarts.
// The hub is told nothing of it, and its version is shown.
//
// A member that is connected and wants to know of changes is told. The error is NotFound
// for who is no member, and Invalid or TooLarge for what could not be desired properties.
func (g *Gateway) Override(ctx context.Context, id iot.Identity, patch json.RawMessage) error {
	if err := g.isMember(ctx, id); err != nil {
		return err
	}
	if patch != nil {
		if _, err := twin.NewDocument(twin.Desired, time.Time{}).Merge(patch, g.opt.Now()); err != nil {
			return err
		}
	}
	defer g.twins.Lock(id)()
	before, err := g.twins.Get(id)
	if err != nil {
		return err
	}
	after := before
	after.Override = patch
	if err := g.twins.Put(id, after); err != nil {
		return err
	}
	g.log.Warn("an operator overrides desired properties", "identity", id, "cleared", patch == nil)
	if s, ok := g.sessions.Get(id); ok {
		s.down.mu.Lock()
		f := s.down.desired
		s.down.mu.Unlock()
		if f != nil {
			f.tellChange(before.Effective(), after.Effective())
		}
	}
	return nil
}
