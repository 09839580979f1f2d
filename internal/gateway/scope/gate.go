package scope

import (
	"sync"
	"time"

	"sluice/iot"
)

// HoldOff is how long the hub is not asked again about the same identity.
const HoldOff = 10 * time.Second

// Lookups of different identities are limited to lookupRate a second, after a
// burst. A factory that starts all its new devices at once fits in the burst; a
// stranger who invents ids does not get beyond the rate.
const (
	lookupRate  = 5
	lookupBurst = 100
)

// gate decides which lookups happen. Its maps are bounded: an identity stays
// only while it is asked for or held off, and no more enter than the rate lets.
type gate struct {
	now func() time.Time

	mu     sync.Mutex
	asking map[iot.Identity]chan struct{}
	held   map[iot.Identity]time.Time // until when
	tokens float64
	filled time.Time
}

// enter returns a channel that closes when the question about id has been
// answered, and whether the caller is the one to ask it. A nil channel means
// that it is not asked now.
func (g *gate) enter(id iot.Identity) (done chan struct{}, ours bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if done, ok := g.asking[id]; ok {
		return done, false
	}
	now := g.now()
	g.expire(now)
	if _, held := g.held[id]; held || !g.take(now) {
		return nil, false
	}
	if g.asking == nil {
		g.asking = make(map[iot.Identity]chan struct{})
		g.held = make(map[iot.Identity]time.Time)
	}
	done = make(chan struct{})
	g.asking[id] = done
	return done, true
}

func (g *gate) leave(id iot.Identity) {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.asking[id])
	delete(g.asking, id)
	g.held[id] = g.now().Add(HoldOff)
}

func (g *gate) expire(now time.Time) {
	for id, until := range g.held {
		// A clock that jumped back must not hold an identity off for ever.
		if !now.Before(until) || until.Sub(now) > HoldOff {
			delete(g.held, id)
		}
	}
}

func (g *gate) take(now time.Time) bool {
	since := now.Sub(g.filled).Seconds()
	if g.filled.IsZero() || since < 0 {
		g.tokens, since = lookupBurst, 0
	}
	g.filled = now
	g.tokens = min(lookupBurst, g.tokens+since*lookupRate)
	if g.tokens < 1 {
		return false
	}
	g.tokens--
	return true
}
