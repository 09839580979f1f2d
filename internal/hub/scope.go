package hub

import (
	"context"

	"sluice/iot"
)

// scopePage is how many children one page has.
const scopePage = 500

// InScope lists an edge device, its modules, and its children with theirs, to the
// device's own $edgeHub.
func (h *Hub) InScope(_ context.Context, creds iot.Credentials, continuation string) (iot.ScopePage, error) {
	edge, err := h.edgeOf(creds)
	if err != nil {
		return iot.ScopePage{}, err
	}
	var page iot.ScopePage
	if continuation == "" {
		page.Identities = append(page.Identities, edge)
		page.Identities = h.appendModules(page.Identities, edge.Identity)
	}
	children := h.opt.Registry.Children(edge.Scope, continuation, scopePage)
	for _, child := range children {
		page.Identities = append(page.Identities, child.Registration)
		page.Identities = h.appendModules(page.Identities, child.Identity)
	}
	if len(children) == scopePage {
		page.Next = children[len(children)-1].Identity.Device
	}
	return page, nil
}

func (h *Hub) appendModules(list []iot.Registration, device iot.Identity) []iot.Registration {
	for _, m := range h.opt.Registry.Modules(device.Device) {
		list = append(list, m.Registration)
	}
	return list
}

// Lookup tells an edge device's $edgeHub of one identity in its scope.
func (h *Hub) Lookup(_ context.Context, creds iot.Credentials, target iot.Identity) ([]iot.Registration, error) {
	edge, err := h.edgeOf(creds)
	if err != nil {
		return nil, err
	}
	e, ok := h.opt.Registry.Get(target)
	if !ok || !h.below(target, edge.Identity) {
		return nil, iot.Errorf(iot.NotFound, "scope", target, "it is not registered, or not in the scope of %s", edge.Identity)
	}
	if !target.IsModule() {
		return []iot.Registration{e.Registration}, nil
	}
	owner, _ := h.opt.Registry.Get(target.Owner()) // a module's device is there
	return []iot.Registration{owner.Registration, e.Registration}, nil
}

// edgeOf returns the edge device that creds prove to be the $edgeHub of.
func (h *Hub) edgeOf(creds iot.Credentials) (iot.Registration, error) {
	if _, err := h.auth.Authenticate(creds); err != nil {
		return iot.Registration{}, err
	}
	e, ok := h.opt.Registry.Get(creds.Identity.Owner())
	if !ok || !e.Edge || creds.Identity.Module != iot.EdgeHubModule {
		return iot.Registration{}, iot.Errorf(iot.Forbidden, "scope", creds.Identity, "only the $edgeHub module of an edge device may ask")
	}
	return e.Registration, nil
}

// below reports whether edge stands above id, or is its device.
func (h *Hub) below(id, edge iot.Identity) bool {
	above, err := h.auth.Ancestors(id)
	if err != nil {
		return false
	}
	for _, a := range above {
		if a.Identity == edge {
			return true
		}
	}
	return false
}
