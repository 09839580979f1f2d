package gateway

import (
	"context"

	"sluice/iot"
)

// ModuleKey returns the symmetric key and the generation id of a module of the
// gateway's own device; !ok if the hub has none. The cache answers, so that modules
// start while the hub is away; only for a module that is not in it the hub is asked,
// and not again for some time.
func (g *Gateway) ModuleKey(ctx context.Context, module string) (key iot.Secret, generation string, ok bool) {
	id := iot.ModuleIdentity(g.opt.Device, module)
	if id.Validate() != nil || !id.IsModule() {
		return "", "", false
	}
	r, ok := g.scope.Registration(id)
	if !ok && g.Online() && g.scope.Lookup(ctx, id) {
		r, ok = g.scope.Registration(id)
	}
	if !ok || !r.Enabled {
		return "", "", false
	}
	return r.Auth.PrimaryKey, r.GenerationID, true
}
