package gateway

import (
	"context"
	"sync"
)

// gate lets waiters through while it is open.
type gate struct {
	mu     sync.Mutex
	opened chan struct{} // closed while the gate is open; nil until first used
	open   bool
}

func (g *gate) channel() chan struct{} {
	if g.opened == nil {
		g.opened = make(chan struct{})
	}
	return g.opened
}

// set opens or shuts the gate and reports whether that was a change.
func (g *gate) set(open bool) (changed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open == open {
		return false
	}
	g.open = open
	if open {
		close(g.channel())
	} else {
		g.opened = nil
	}
	return true
}

func (g *gate) isOpen() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open
}

// wait returns when the gate is open, or with false when ctx ends.
func (g *gate) wait(ctx context.Context) bool {
	g.mu.Lock()
	opened := g.channel()
	g.mu.Unlock()
	select {
	case <-opened:
		return true
	case <-ctx.Done():
		return false
	}
}
