package webhead

import "sync"

// A group counts what is under way, so that its end can be waited for. The zero value
// is ready.
type group struct {
	mu     sync.Mutex
	closed bool
	going  sync.WaitGroup // added to while not closed
}

// begin counts one more, or reports false if the group is closing.
func (g *group) begin() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.going.Add(1)
	}
	return !g.closed
}

// done is called when one of those has ended that began.
func (g *group) done() { g.going.Done() }

// close lets none begin.
func (g *group) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}

// wait returns when all have ended. The group is closed.
func (g *group) wait() { g.going.Wait() }
