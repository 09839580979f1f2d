package limit

import (
	"sync"
	"time"
)

// MaxHold is how long a [Pace] holds anything back, whatever is owed. Beyond it a
// client would take the silence for a loss, connect again and send everything twice.
const MaxHold = 30 * time.Second

// A Pace slows what one identity sends to a rate, by calling back late. Its methods
// may be called from any goroutine.
type Pace struct {
	rate float64 // messages a second
	size float64 // messages that may come at once

	mu      sync.Mutex
	bucket  bucket
	waiting []late // by time
	timer   *time.Timer
	busy    bool // the timer is set, or release runs
	ended   bool
}

// late is an acknowledgement that is held back.
type late struct {
	at   time.Time
	call func()
}

// NewPace allows rate messages a second, and, after a quiet time, burst at once.
func NewPace(rate float64, burst int) *Pace {
	return &Pace{rate: rate, size: float64(burst), bucket: bucket{level: float64(burst), at: time.Now()}}
}

// Done calls f as soon as n messages more are within the rate: at once, or later
// from another goroutine, in the order of the calls of Done. f must not block.
func (p *Pace) Done(n int, f func()) {
	p.mu.Lock()
	now := time.Now()
	p.bucket.fill(p.rate, p.size, now)
	p.bucket.level = max(p.bucket.level-float64(n), -p.rate*MaxHold.Seconds())
	if p.ended || p.bucket.level >= 0 && len(p.waiting) == 0 {
		p.mu.Unlock()
		f()
		return
	}
	wait := time.Duration(max(0, -p.bucket.level) / p.rate * float64(time.Second))
	p.waiting = append(p.waiting, late{now.Add(wait), f})
	if !p.busy {
		p.busy = true
		p.set(wait)
	}
	p.mu.Unlock()
}

// set has what is due called after d. mu is held.
func (p *Pace) set(d time.Duration) {
	if p.timer == nil {
		p.timer = time.AfterFunc(d, p.release)
		return
	}
	p.timer.Reset(d)
}

// release calls what is due. It is the timer's, so that only one runs at a time
// and what waits is called in order.
func (p *Pace) release() {
	for {
		p.mu.Lock()
		if len(p.waiting) == 0 {
			p.waiting, p.busy = nil, false
			p.mu.Unlock()
			return
		}
		first := p.waiting[0]
		if wait := time.Until(first.at); wait > 0 && !p.ended {
			p.set(wait)
			p.mu.Unlock()
			return
		}
		p.mu.Unlock()
		first.call() // before it is taken out: until then, later ones wait for it
		p.mu.Lock()
		p.waiting = p.waiting[1:]
		p.mu.Unlock()
	}
}

// End calls back, soon, what is held back, and holds nothing back any more.
func (p *Pace) End() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	if p.busy && p.timer.Stop() {
		p.timer.Reset(0)
	}
}

// Idle reports whether nothing is held back, and a new Pace would do as well.
func (p *Pace) Idle() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bucket.fill(p.rate, p.size, time.Now())
	return !p.busy && p.bucket.level >= p.size
}
