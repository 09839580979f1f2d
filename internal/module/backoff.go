package module

import "time"

// A Backoff is how long to wait before a module is started again.
type Backoff struct {
	First time.Duration // before the first restart; it doubles for each further one
	Max   time.Duration
	Reset time.Duration // a module that ran for so long begins anew
}

// DefaultBackoff is that of gateways. A process starts faster than a container,
// so it begins with less than IoT Edge's ten seconds; it ends with as much.
var DefaultBackoff = Backoff{First: time.Second, Max: 5 * time.Minute, Reset: 10 * time.Minute}

// pause is the time before restart n, counted from 0.
func (b Backoff) pause(n int) time.Duration {
	pause := b.First
	for ; n > 0 && pause < b.Max; n-- {
		pause *= 2
	}
	return min(pause, b.Max)
}
