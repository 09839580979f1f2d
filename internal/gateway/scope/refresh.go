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

// Refresh fetches the whole scope. On an error what was known stays.
func (c *Cache) Refresh(ctx context.Context) error {
	c.refreshing.Lock()
	defer c.refreshing.Unlock()
	creds, err := c.opt.Credentials()
	if err != nil {
		return fmt.Errorf("refresh scope: %w", err)
	}
	next := make(map[iot.Identity]iot.Registration)
	continuation := ""
	for range maxPages {
		page, err := c.opt.Source.InScope(ctx, creds, continuation)
		if err != nil {
			return fmt.Errorf("refresh scope: %w", err)
		}
		for _, r := range page.Identities {
			next[r.Identity] = r
		}
		if page.Next == "" {
			return c.apply(next, c.opt.Now())
		}
		continuation = page.Next
	}
	return fmt.Errorf("refresh scope: no end after %d pages", maxPages)
}

// Lookup asks the hub about one identity and, for a module, its device, and
// reports whether it asked. It does not ask, and returns false at once, when
// the same identity was asked for a moment ago or too many others were: see
// [HoldOff]. Concurrent calls for one identity share one question.
func (c *Cache) Lookup(ctx context.Context, id iot.Identity) bool {
	done, ours := c.gate.enter(id)
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
