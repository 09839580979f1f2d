package gateway

import (
	"maps"
	"sync"

	"sluice/internal/limit"
	"sluice/iot"
)

// paces slow identities down to the rate that each may send at. They are kept
// beyond a session, so that a new connection, or a request by itself, is no new
// beginning.
type paces struct {
	rate float64 // messages a second; 0 for no limit

	mu   sync.Mutex
	byID map[iot.Identity]*limit.Pace
}

// burstSeconds is how long an identity must have been quiet to send as much at once
// as it may in that time.
const burstSeconds = 10

// maxPaces is at how many those are forgotten that hold nothing back.
const maxPaces = 10_000

// of returns the pace of an identity that has proved itself; nil without a limit.
func (p *paces) of(id iot.Identity) *limit.Pace {
	if p.rate <= 0 {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	pace := p.byID[id]
	if pace == nil {
		if p.byID == nil {
			p.byID = map[iot.Identity]*limit.Pace{}
		}
		if len(p.byID) >= maxPaces {
			maps.DeleteFunc(p.byID, func(_ iot.Identity, pace *limit.Pace) bool { return pace.Idle() })
		}
		pace = limit.NewPace(p.rate, max(1, int(p.rate*burstSeconds)))
		p.byID[id] = pace
	}
	return pace
}

// Unpace acknowledges at once what is held back because its sender is above its
// rate, and holds nothing back any more: the gateway is about to stop, and it is
// stored.
func (g *Gateway) Unpace() {
	g.paces.mu.Lock()
	defer g.paces.mu.Unlock()
	for _, pace := range g.paces.byID {
		pace.End()
	}
}
