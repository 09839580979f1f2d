package auth

import (
	"errors"
	"slices"
	"strings"

	"sluice/iot"
)

// MaxDepth is how many edge devices may stand above an identity, as in IoT Hub.
const MaxDepth = 5

// mayActFor checks that actor, the $edgeHub of some edge device, stands above
// target, every step up existing and enabled.
func (a *Authenticator) mayActFor(actor iot.Identity, target iot.Registration, chain string) error {
	id := target.Identity
	if _, err := a.enabled(actor); err != nil {
		return &iot.Error{Kind: iot.Unauthorized, Op: op, Identity: id, Detail: "acting for it", Err: err}
	}
	above, err := a.Ancestors(id)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(above, func(r iot.Registration) bool { return r.Identity.Device == actor.Device })
	if at < 0 {
		return deny(id, "it is not in the scope of %s", actor.Device)
	}
	for _, edge := range above[:at+1] {
		if !edge.Enabled {
			return deny(id, "edge device %s above it is disabled", edge.Identity.Device)
		}
	}
	return checkChain(chain, id, above[:at+1])
}

// checkChain compares the chain that a gateway claims with the one that is
// registered. An empty chain claims nothing.
func checkChain(chain string, target iot.Identity, above []iot.Registration) error {
	if chain == "" {
		return nil
	}
	want := []string{target.String()}
	for _, edge := range above {
		if edge.Identity != target {
			want = append(want, edge.Identity.Device)
		}
	}
	got := strings.Split(chain, ";")
	// A module's chain may name its device between itself and the gateway.
	if target.IsModule() && len(got) == len(want)+1 && got[1] == target.Device {
		got = slices.Delete(got, 1, 2)
	}
	if !slices.Equal(got, want) {
		return deny(target, "its auth chain is %q, not the one claimed", strings.Join(want, ";"))
	}
	return nil
}

// Ancestors lists the edge devices above id, nearest first: its own device if
// that is an edge device, then its parents. Where a device has several parents
// the first that is known counts.
func (a *Authenticator) Ancestors(id iot.Identity) ([]iot.Registration, error) {
	at, ok := a.Directory.Registration(id.Owner())
	if !ok {
		return nil, unknown(id.Owner())
	}
	var above []iot.Registration
	if at.Edge {
		above = append(above, at)
	}
	for len(above) <= MaxDepth {
		parent, ok := a.parent(at)
		if !ok {
			return above, nil
		}
		above = append(above, parent)
		at = parent
	}
	return nil, deny(id, "more than %d edge devices stand above it, or they form a circle", MaxDepth)
}

func (a *Authenticator) parent(of iot.Registration) (iot.Registration, bool) {
	scopes := of.ParentScopes
	if len(scopes) == 0 && !of.Edge && of.Scope != "" {
		// A leaf's own scope is its parent's; older hubs say it only there.
		scopes = []string{of.Scope}
	}
	for _, scope := range scopes {
		if parent, ok := a.Directory.EdgeDevice(scope); ok && parent.Identity != of.Identity {
			return parent, true
		}
	}
	return iot.Registration{}, false
}

// IsUnknown reports whether err says that an identity is not registered, which
// fresh registrations may change, rather than that its proof was wrong.
func IsUnknown(err error) bool { return errors.As(err, new(errUnknown)) }
