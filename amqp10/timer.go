package amqp10

import (
	"time"

	"sluice/amqp10/internal/frame"
)

// heartbeat is how often we must send something [AMQP 2.4.5]: in half the time
// that the peer allows, so that one may be late.
func heartbeat(peerIdle time.Duration) time.Duration {
	if peerIdle == 0 {
		return 0
	}
	return min(peerIdle/2, maxHeartbeat)
}

// startTimer starts the one timer of the connection. [mu held]
func (c *Conn) startTimer() {
	c.lastRead, c.lastSent = time.Now(), time.Now()
	c.timer = time.AfterFunc(c.untilTick(c.lastRead), c.tick)
}

// untilTick is when the next heartbeat or the peer's is due. [mu held]
func (c *Conn) untilTick(now time.Time) time.Duration {
	d := c.lastRead.Add(2 * c.limits.Idle).Sub(now)
	if c.paused {
		d = 2 * c.limits.Idle
	}
	if c.beat > 0 {
		d = min(d, c.lastSent.Add(c.beat).Sub(now))
	}
	return max(d, time.Millisecond)
}

func (c *Conn) tick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closeSent || c.timer == nil || c.broken != nil {
		return
	}
	now := time.Now()
	switch {
	case !c.paused && now.Sub(c.lastRead) >= 2*c.limits.Idle:
		c.fail(Errorf(ErrResourceLimit, "idle time-out: nothing received for %v", 2*c.limits.Idle))
		return
	case c.beat > 0 && now.Sub(c.lastSent) >= c.beat:
		// While a write is under way, that is our sign of life.
		if !c.writing {
			frame.Empty(c.w())
			c.kick()
		}
		c.lastSent = now
	}
	if now.Sub(c.lastRead) >= quiet && len(c.events) == 0 {
		c.events, c.spareEvents = nil, nil
	}
	c.timer.Reset(c.untilTick(now))
}
