package mqttbridge

import (
	"log/slog"
	"sync"
	"time"
)

// refusals logs what was refused, but not each: a device that sends nonsense sends
// it often.
type refusals struct {
	log *slog.Logger

	mu     sync.Mutex
	last   time.Time
	silent int
}

// every is how often a refusal is logged.
const every = 10 * time.Second

func (r *refusals) tell(p *publication, err error) {
	r.mu.Lock()
	silent := r.silent
	if time.Since(r.last) < every && !r.last.IsZero() {
		r.silent++
		r.mu.Unlock()
		return
	}
	r.last, r.silent = time.Now(), 0
	r.mu.Unlock()
	topic := p.topic[:min(len(p.topic), 200)]
	r.log.Warn("refused", "topic", topic, "client", p.clientID, "bytes", len(p.payload), "error", err, "others_since", silent)
}
