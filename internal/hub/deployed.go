package hub

import (
	"maps"
	"sync"

	"sluice/internal/twin"
	"sluice/iot"
)

// maxDirty is how many identities are noted one by one; beyond it all are looked
// at.
const maxDirty = 10_000

// deployed remembers how far configurations have got, and whom to look at again.
// It is made anew when the hub starts.
type deployed struct {
	wake chan struct{} // has one item while there is somebody to look at

	mu     sync.Mutex
	all    bool
	dirty  map[iot.Identity]struct{}
	byID   map[iot.Identity]map[string]twin.Configuration // the inner maps do not change
	counts map[string]ConfigurationCounts
}

// ConfigurationCounts are how many identities a configuration has got how far
// with.
type ConfigurationCounts struct{ Targeted, Applied int }

func (d *deployed) init() {
	d.wake = make(chan struct{}, 1)
	d.dirty = map[iot.Identity]struct{}{}
	d.byID = map[iot.Identity]map[string]twin.Configuration{}
	d.counts = map[string]ConfigurationCounts{}
	d.touchAll()
}

// touch notes that an identity is to be looked at.
func (d *deployed) touch(id iot.Identity) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.dirty) >= maxDirty {
		d.all = true
	}
	if !d.all {
		d.dirty[id] = struct{}{}
	}
	d.ring()
}

// touchAll notes that all identities are to be looked at.
func (d *deployed) touchAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = true
	d.ring()
}

func (d *deployed) ring() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// take returns who is to be looked at, and forgets it.
func (d *deployed) take() (all bool, ids []iot.Identity) {
	d.mu.Lock()
	defer d.mu.Unlock()
	all = d.all
	if !all {
		for id := range d.dirty {
			ids = append(ids, id)
		}
	}
	d.all = false
	clear(d.dirty)
	return all, ids
}

// assign notes how far the configurations of an identity have got; nil for none.
func (d *deployed) assign(id iot.Identity, now map[string]twin.Configuration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.count(d.byID[id], -1)
	d.count(now, 1)
	if len(now) == 0 {
		delete(d.byID, id)
		return
	}
	d.byID[id] = now
}

// clear forgets how far configurations had got: there are none.
func (d *deployed) clear() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.byID)
	clear(d.counts)
}

func (d *deployed) count(list map[string]twin.Configuration, n int) {
	for id, c := range list {
		counts := d.counts[id]
		counts.Targeted += n
		if c.Status == "Applied" {
			counts.Applied += n
		}
		d.counts[id] = counts
		if counts == (ConfigurationCounts{}) {
			delete(d.counts, id)
		}
	}
}

// of is how far the configurations of an identity have got. The agent of an edge
// device shows its device's, as the service does.
func (d *deployed) of(id iot.Identity) map[string]twin.Configuration {
	d.mu.Lock()
	defer d.mu.Unlock()
	own := d.byID[id]
	if id.Module != iot.EdgeAgentModule {
		return own
	}
	device := d.byID[id.Owner()]
	if own == nil || device == nil {
		return firstOf(own, device)
	}
	both := maps.Clone(device)
	maps.Copy(both, own)
	return both
}

func firstOf(a, b map[string]twin.Configuration) map[string]twin.Configuration {
	if a != nil {
		return a
	}
	return b
}

// ConfigurationCounts are how far a configuration has got.
func (h *Hub) ConfigurationCounts(id string) ConfigurationCounts {
	h.deployed.mu.Lock()
	defer h.deployed.mu.Unlock()
	return h.deployed.counts[id]
}
