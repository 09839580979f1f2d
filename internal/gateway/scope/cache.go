// Package scope is a gateway's knowledge of whom it may serve.
//
// A [Cache] holds the registrations of the gateway's own device, its modules and
// its children, and what is below gateways among those, as the parent hub told
// them. It is fetched at the start,
// again every hour and whenever the uplink comes back, and for one identity at
// once when that one is unknown or its proof fails; the latter is limited, so
// that strangers cannot make the gateway a load on its hub. The last answer is
// kept on disk, so that known devices authenticate while the hub is away and
// after a restart without it.
//
// A Cache answers from memory and never waits for the network, except in
// [Cache.Refresh] and [Cache.Lookup].
package scope

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"sluice/internal/atomicfile"
	"sluice/iot"
)

// Options configures a Cache.
type Options struct {
	Source iot.Scopes
	// Credentials prove to Source that the caller may ask for an edge device: with
	// no path for the gateway's own; else the path leads from that device up to
	// the one below the gateway's.
	Credentials func(path ...string) (iot.Credentials, error)
	// RefreshEvery is the time between full refreshes; 0 means one hour.
	RefreshEvery time.Duration
	// Changed is called after registrations were added, changed or removed,
	// from the goroutine that refreshed. May be nil.
	Changed func()
	Log     *slog.Logger
	Now     func() time.Time // nil means time.Now
}

// Cache is a gateway's scope. Its methods may be called from any goroutine.
type Cache struct {
	opt  Options
	path string

	refreshing sync.Mutex // held while a full refresh or a lookup is applied

	mu      sync.RWMutex
	known   map[iot.Identity]iot.Registration
	byScope map[string]iot.Identity
	asOf    time.Time // of the last full refresh; zero if there never was one

	gate gate
}

// file is what is kept on disk.
type file struct {
	AsOf       time.Time          `json:"asOf"`
	Identities []iot.Registration `json:"identities"`
}

// Open loads the cache kept at path, if there is one. A file that cannot be
// read is set aside with a log line and nobody is known until the next refresh:
// a damaged scope must never let anybody in.
func Open(path string, opt Options) (*Cache, error) {
	if opt.RefreshEvery == 0 {
		opt.RefreshEvery = time.Hour
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	c := &Cache{opt: opt, path: path, known: map[iot.Identity]iot.Registration{}, byScope: map[string]iot.Identity{}}
	c.gate.now = opt.Now
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return c, nil
	case err != nil:
		return nil, fmt.Errorf("open scope: %w", err)
	}
	var f file
	if err := json.Unmarshal(data, &f); err != nil {
		aside := path + ".damaged"
		if err := os.Rename(path, aside); err != nil {
			return nil, fmt.Errorf("open scope: set damaged file aside: %w", err)
		}
		opt.Log.Error("the stored scope is damaged; nobody can connect until the hub has been reached", "kept", aside, "err", err)
		return c, nil
	}
	c.set(f.Identities, f.AsOf)
	return c, nil
}

// Registration returns what is known of an identity.
func (c *Cache) Registration(id iot.Identity) (iot.Registration, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	r, ok := c.known[id]
	return r, ok
}

// EdgeDevice returns the edge device with this scope.
func (c *Cache) EdgeDevice(scope string) (iot.Registration, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	r, ok := c.known[c.byScope[scope]]
	return r, ok
}

// Len is the number of identities known, and AsOf when all of them were last
// fetched.
func (c *Cache) Len() (n int, asOf time.Time) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.known), c.asOf
}

func (c *Cache) set(regs []iot.Registration, asOf time.Time) {
	known := make(map[iot.Identity]iot.Registration, len(regs))
	byScope := make(map[string]iot.Identity)
	for _, r := range regs {
		known[r.Identity] = r
		if r.Edge && r.Scope != "" {
			byScope[r.Scope] = r.Identity
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known, c.byScope, c.asOf = known, byScope, asOf
}

// apply replaces the whole scope, keeps it on disk, and tells whoever asked.
func (c *Cache) apply(next map[iot.Identity]iot.Registration, asOf time.Time) error {
	c.mu.RLock()
	same := maps.EqualFunc(next, c.known, equal)
	c.mu.RUnlock()
	regs := make([]iot.Registration, 0, len(next))
	for _, r := range next {
		regs = append(regs, r)
	}
	c.set(regs, asOf)
	if same {
		return nil
	}
	data, err := json.Marshal(file{AsOf: asOf, Identities: regs})
	if err != nil {
		return fmt.Errorf("store scope: %w", err)
	}
	err = atomicfile.Write(c.path, data, 0o600)
	if c.opt.Changed != nil {
		c.opt.Changed() // even if it could not be stored: it holds until the next start
	}
	if err != nil {
		return fmt.Errorf("store scope: %w", err)
	}
	return nil
}

func equal(a, b iot.Registration) bool {
	if len(a.ParentScopes) != len(b.ParentScopes) {
		return false
	}
	for i := range a.ParentScopes {
		if a.ParentScopes[i] != b.ParentScopes[i] {
			return false
		}
	}
	return a.Identity == b.Identity && a.GenerationID == b.GenerationID && a.ETag == b.ETag &&
		a.Enabled == b.Enabled && a.Edge == b.Edge && a.Scope == b.Scope && a.Auth == b.Auth
}

// Run refreshes the scope every so often until ctx ends. The first refresh is
// the caller's: only it knows when the uplink is there.
func (c *Cache) Run(ctx context.Context) {
	t := time.NewTicker(c.opt.RefreshEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if err := c.Refresh(ctx); err != nil && ctx.Err() == nil {
				c.opt.Log.Warn("scope not refreshed", "err", err)
			}
		}
	}
}

// Below lists an edge device, its modules, its children and theirs, in the order
// of their names.
func (c *Cache) Below(edge iot.Registration) []iot.Registration {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var list []iot.Registration
	for id, r := range c.known {
		device := r
		if id.IsModule() {
			device = c.known[id.Owner()]
		}
		if device.Identity == edge.Identity || childOf(device, edge) {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b iot.Registration) int {
		return cmp.Compare(a.Identity.String(), b.Identity.String())
	})
	return list
}

func childOf(device, edge iot.Registration) bool {
	return slices.Contains(device.ParentScopes, edge.Scope) || !device.Edge && device.Scope == edge.Scope
}
