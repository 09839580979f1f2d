package scope

import (
	"context"
	"fmt"
	"maps"
	"time"

	"sluice/iot"
)

// maxPages bounds a listing whose end never comes.
const maxPages = 100_000

// lookupTimeout bounds one question about one identity. A device waits for it.
const lookupTimeout = 10 * time.Second

// Refresh fetches the whole scope: the gateway's own, and that of each gateway
// below it. On an error what was known stays; only what is below a gateway that
// the hub refuses is left out, and known when it is looked up.
func (c *Cache) Refresh(ctx context.Context) error {
	c.refreshing.Lock()
	defer c.refreshing.Unlock()
	next := make(map[iot.Identity]iot.Registration)
	below, err := c.list(ctx, next)
	if err != nil {
		return fmt.Errorf("refresh scope: %w", err)
	}
	for len(below) > 0 {
		path := below[0]
		below = below[1:]
		more, err := c.list(ctx, next, path...)
		if err != nil && iot.KindOf(err).Retryable() {
			return fmt.Errorf("refresh scope: of %s: %w", path[0], err)
		}
		if err != nil {
			c.opt.Log.Warn("the scope of a gateway below is not known", "gateway", path[0], "err", err)
		}
		if len(path) < maxDepth {
			below = append(below, more...)
		}
	}
	return c.apply(next, c.opt.Now())
}

// maxDepth is how many gateways may stand below each other, below this one.
const maxDepth = 5

// list adds what is in the scope of an edge device to next, and returns the paths
// of the edge devices among that, which were not there before.
func (c *Cache) list(ctx context.Context, next map[iot.Identity]iot.Registration, path ...string) (below [][]string, err error) {
	creds, err := c.opt.Credentials(path...)
	if err != nil {
		return nil, err
	}
	continuation := ""
	for range maxPages {
		page, err := c.opt.Source.InScope(ctx, creds, continuation)
		if err != nil {
			return nil, err
		}
		for _, r := range page.Identities {
			_, known := next[r.Identity]
			next[r.Identity] = r
			if r.Edge && !known && r.Identity != creds.Identity.Owner() {
				below = append(below, append([]string{r.Identity.Device}, path...))
			}
		}
		if page.Next == "" {
			return below, nil
		}
		continuation = page.Next
	}
	return nil, fmt.Errorf("no end after %d pages", maxPages)
}

// Lookup asks the hub about one identity and, for a module, its device, and
// reports whether it asked. It does not ask, and returns false at once, when
// the same identity was asked for a moment ago: see [HoldOff]. Concurrent calls for
// one identity share one question, and those of a crowd, of more identities than
// are asked for one by one, a look at the whole scope, at most one in
// [CrowdEvery].
func (c *Cache) Lookup(ctx context.Context, id iot.Identity) bool {
	done, ours, crowded := c.gate.enter(id)
	if crowded {
		return c.crowd(ctx)
	}
	if done == nil {
		return false
	}
	if !ours {
		select {
		case <-done:
			return true
		case <-ctx.Done():
			return false
		}
	}
	defer c.gate.leave(id)
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	if err := c.lookup(ctx, id); err != nil {
		c.opt.Log.Debug("identity not looked up", "identity", id, "err", err)
		return false
	}
	return true
}

// crowd refreshes the scope for all who come meanwhile, and reports whether it did.
func (c *Cache) crowd(ctx context.Context) bool {
	done, ours := c.gate.enterCrowd()
	if done == nil {
		return false
	}
	if !ours {
		select {
		case <-done:
			return true
		case <-ctx.Done():
			return false
		}
	}
	before, _ := c.Len()
	defer func() {
		after, _ := c.Len()
		c.gate.leaveCrowd(after > before)
	}()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookupTimeout)
	defer cancel()
	if err := c.Refresh(ctx); err != nil {
		c.opt.Log.Debug("scope not refreshed for a crowd", "err", err)
		return false
	}
	return true
}

// Learn asks the hub about one identity, whenever it was asked for before: the caller
// knows that it has changed.
func (c *Cache) Learn(ctx context.Context, id iot.Identity) error {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	return c.lookup(ctx, id)
}

func (c *Cache) lookup(ctx context.Context, id iot.Identity) error {
	creds, err := c.opt.Credentials()
	if err != nil {
		return err
	}
	found, err := c.opt.Source.Lookup(ctx, creds, id)
	gone := iot.KindOf(err) == iot.NotFound
	if err != nil && !gone {
		return err
	}
	c.refreshing.Lock()
	defer c.refreshing.Unlock()
	if gone && !c.has(id) {
		return nil // a stranger, as before
	}
	c.mu.RLock()
	next := maps.Clone(c.known)
	asOf := c.asOf
	c.mu.RUnlock()
	if gone {
		delete(next, id)
	}
	for _, r := range found {
		next[r.Identity] = r
	}
	return c.apply(next, asOf)
}

func (c *Cache) has(id iot.Identity) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	_, known := c.known[id]
	return known
}
