package hub

import (
	"sync"
	"time"

	"sluice/iot"
)

// activity remembers when identities were last heard of. It is lost when the hub
// stops, as nothing depends on it.
type activity struct {
	mu sync.Mutex
	at map[iot.Identity]time.Time
}

func (a *activity) note(id iot.Identity, t time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.at == nil {
		a.at = map[iot.Identity]time.Time{}
	}
	a.at[id] = t
}

func (a *activity) last(id iot.Identity) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.at[id]
}

func (a *activity) forget(id iot.Identity) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.at, id)
}
