package translate

import (
	"log/slog"
	"sync"
	"time"
)

// A badLog tells of bad messages, one a second and how many there were: whoever
// sends them must not fill the disk with the log.
type badLog struct {
	log *slog.Logger

	mu      sync.Mutex
	next    time.Time
	skipped int
}

func (b *badLog) note(from string, err error) {
	now := time.Now()
	b.mu.Lock()
	if now.Before(b.next) {
		b.skipped++
		b.mu.Unlock()
		return
	}
	skipped := b.skipped
	b.next, b.skipped = now.Add(time.Second), 0
	b.mu.Unlock()
	b.log.Warn("a message is dropped: it", "err", err, "from", from, "others", skipped)
}
