package limit

import "time"

// A bucket fills at a rate, up to a size, and is emptied by what happens. It may
// be emptied below nothing, and is then in debt.
type bucket struct {
	level float64
	at    time.Time // of level
}

// fill lets time pass. A clock that stands still or goes back fills nothing.
func (b *bucket) fill(rate, size float64, now time.Time) {
	if d := now.Sub(b.at); d > 0 {
		b.level = min(size, b.level+rate*d.Seconds())
	}
	b.at = now
}
