package gateway

import (
	"testing"

	"sluice/internal/sas"
	"sluice/iot"
)

// Modules have their keys while the hub is away, and those made a moment ago too.
func TestKeysOfModules(t *testing.T) {
	module := func(device, name string, enabled bool) iot.Registration {
		return iot.Registration{
			Identity: iot.ModuleIdentity(device, name), Enabled: enabled, GenerationID: "42",
			Auth: iot.Authentication{Type: iot.AuthSAS, PrimaryKey: sas.NewKey()},
		}
	}
	filter, late := module("edge", "filter", true), module("edge", "late", true)
	parent := newFakeParent(edgeDevice(), child("pump"), filter, module("edge", "off", false), module("pump", "inner", true))
	s := newSite(t, parent)
	s.untilOnline()
	parent.set(func() { parent.regs = append(parent.regs, late) })
	for _, m := range []iot.Registration{filter, late} {
		key, generation, ok := s.gw.ModuleKey(s.ctx, m.Identity.Module)
		if !ok || key != m.Auth.PrimaryKey || generation != "42" {
			t.Errorf("%s: %v, %q, %v", m.Identity, key == m.Auth.PrimaryKey, generation, ok)
		}
	}
	parent.cut(true)
	if key, _, ok := s.gw.ModuleKey(s.ctx, "filter"); !ok || key != filter.Auth.PrimaryKey {
		t.Error("it is not known while the hub is away")
	}
	for _, name := range []string{"off", "inner", "none", "", "../filter", "a b"} {
		if _, _, ok := s.gw.ModuleKey(s.ctx, name); ok {
			t.Errorf("there is a key of %q", name)
		}
	}
}
