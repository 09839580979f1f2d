package scope

import (
	"sync"
	"time"

	"sluice/iot"
)

// HoldOff is how long the hub is not asked again about the same identity.
const HoldOff = 10 * time.Second

// CrowdEvery is how often the whole scope is looked at because more identities are
// unknown than are looked up one by one. As long as that finds nobody, who comes is
// invented, and it is done half as often each time, down to once in crowdMost.
const (
	CrowdEvery = 5 * time.Second
	crowdMost  = 5 * time.Minute
)

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

	crowd     chan struct{} // closed when the question about all is answered; nil while nobody asks it
	crowded   time.Time     // when it was answered last
	crowdRest time.Duration // how long it is not asked after that
}

// enter returns a channel that closes when the question about id has been
// answered, and whether the caller is the one to ask it. A nil channel means
// that it is not asked now; crowded, that this is for want of tokens.
func (g *gate) enter(id iot.Identity) (done chan struct{}, ours, crowded bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if done, ok := g.asking[id]; ok {
		return done, false, false
	}
	now := g.now()
	g.expire(now)
	if _, held := g.held[id]; held {
		return nil, false, false
	}
	if !g.take(now) {
		return nil, false, true
	}
	if g.asking == nil {
		g.asking = make(map[iot.Identity]chan struct{})
		g.held = make(map[iot.Identity]time.Time)
	}
	done = make(chan struct{})
	g.asking[id] = done
	return done, true, false
}

// enterCrowd is enter for the question about the whole scope.
func (g *gate) enterCrowd() (done chan struct{}, ours bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.crowd != nil {
		return g.crowd, false
	}
	now := g.now()
	if rest := g.crowded.Add(g.crowdRest).Sub(now); rest > 0 && rest <= g.crowdRest {
		return nil, false
	}
	g.crowd = make(chan struct{})
	return g.crowd, true
}

// leaveCrowd takes whether the answer named anybody new.
func (g *gate) leaveCrowd(useful bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.crowd)
	g.crowd, g.crowded = nil, g.now()
	if g.crowdRest = min(2*g.crowdRest, crowdMost); useful || g.crowdRest == 0 {
		g.crowdRest = CrowdEvery
	}
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
