package registry

import (
	"slices"

	"sluice/internal/hub/storage"
	"sluice/iot"
)

// An order is the ids of devices, sorted. What was added and deleted is merged
// into it when somebody looks.
type order struct {
	sorted []string // is replaced, never changed
	added  []string // since; not sorted, and perhaps in sorted too
	gone   int      // how many were deleted since
}

// devices returns the ids of all devices, sorted. The slice does not change.
func (s *Store) devices() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := &s.order
	if len(o.added) == 0 && o.gone == 0 {
		return o.sorted
	}
	slices.Sort(o.added)
	merged := make([]string, 0, len(o.sorted)+len(o.added))
	take := func(id string) {
		if n := len(merged); n > 0 && merged[n-1] == id {
			return // deleted, and made again
		}
		if _, there := s.entries[iot.DeviceIdentity(id)]; there || o.gone == 0 {
			merged = append(merged, id)
		}
	}
	rest := o.added
	for _, id := range o.sorted {
		for len(rest) > 0 && rest[0] < id {
			take(rest[0])
			rest = rest[1:]
		}
		take(id)
	}
	for _, id := range rest {
		take(id)
	}
	*o = order{sorted: merged}
	return merged
}

// Devices lists at most limit devices in the order of their ids, beginning after
// the id after; "" begins at the first.
func (s *Store) Devices(after string, limit int) []storage.Entry {
	ids := s.devices()
	at, found := slices.BinarySearch(ids, after)
	if found {
		at++
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := make([]storage.Entry, 0, min(limit, len(ids)-at))
	for ; at < len(ids) && len(list) < limit; at++ {
		if e, ok := s.entries[iot.DeviceIdentity(ids[at])]; ok {
			list = append(list, *e)
		}
	}
	return list
}

// AllModules lists modules of all devices, in the order of their devices' ids and
// then of their own, beginning after the module after; the zero identity begins
// at the first. It lists those of some devices at a time, at least limit modules
// unless it has come to the end.
func (s *Store) AllModules(after iot.Identity, limit int) []storage.Entry {
	ids := s.devices()
	at, _ := slices.BinarySearch(ids, after.Device)
	s.mu.RLock()
	defer s.mu.RUnlock()
	var list []storage.Entry
	for ; at < len(ids) && len(list) < limit; at++ {
		for _, m := range s.modules[ids[at]] {
			if ids[at] != after.Device || m > after.Module {
				list = append(list, *s.entries[iot.ModuleIdentity(ids[at], m)])
			}
		}
	}
	return list
}
