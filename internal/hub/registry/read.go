package registry

import (
	"cmp"
	"maps"
	"slices"

	"sluice/internal/hub/storage"
	"sluice/iot"
)

// Get returns the entry of an identity.
func (s *Store) Get(id iot.Identity) (storage.Entry, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	e, ok := s.entries[id]
	if !ok {
		return storage.Entry{}, false
	}
	return *e, true
}

// Registration returns the part of an entry that decides who may connect.
func (s *Store) Registration(id iot.Identity) (iot.Registration, bool) {
	e, ok := s.Get(id)
	return e.Registration, ok
}

// Generation returns the generation id of an identity.
func (s *Store) Generation(id iot.Identity) (string, bool) {
	e, ok := s.Get(id)
	return e.GenerationID, ok
}

// EdgeDevice returns the edge device that has this scope.
func (s *Store) EdgeDevice(scope string) (iot.Registration, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	e, ok := s.entries[s.edges[scopeKey(scope)]]
	if !ok {
		return iot.Registration{}, false
	}
	return e.Registration, true
}

// Modules lists the modules of a device in the order of their ids.
func (s *Store) Modules(device string) []storage.Entry {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := make([]storage.Entry, 0, len(s.modules[device]))
	for _, m := range s.modules[device] {
		list = append(list, *s.entries[iot.ModuleIdentity(device, m)])
	}
	return list
}

// Children lists at most limit devices directly below the edge device that has
// this scope, in the order of their ids, beginning after the id after.
func (s *Store) Children(scope, after string, limit int) []storage.Entry {
	s.mu.RLock()
	defer s.mu.RUnlock()
	ids := slices.SortedFunc(maps.Keys(s.children[scopeKey(scope)]), func(a, b iot.Identity) int {
		return cmp.Compare(a.Device, b.Device)
	})
	at, found := slices.BinarySearchFunc(ids, after, func(id iot.Identity, after string) int {
		return cmp.Compare(id.Device, after)
	})
	if found {
		at++
	}
	ids = ids[at:min(at+limit, len(ids))]
	list := make([]storage.Entry, len(ids))
	for i, id := range ids {
		list[i] = *s.entries[id]
	}
	return list
}

// count counts an identity in, or, with -1, out.
func count(c *storage.Counts, e *storage.Entry, n int) {
	if e.Identity.IsModule() {
		c.Modules += n
		return
	}
	c.Devices += n
	if e.Enabled {
		c.Enabled += n
	} else {
		c.Disabled += n
	}
	if e.Edge {
		c.Edge += n
	}
}

// Counts counts the identities.
func (s *Store) Counts() storage.Counts {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.counts
}

// Policy returns the shared access policy of this name.
func (s *Store) Policy(name string) (storage.Policy, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p, ok := s.policies[name]
	return p, ok
}

// Policies lists the shared access policies in the order of their names.
func (s *Store) Policies() []storage.Policy {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.SortedFunc(maps.Values(s.policies), func(a, b storage.Policy) int { return cmp.Compare(a.Name, b.Name) })
}
