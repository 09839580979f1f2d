package hub

import (
	"sync"
	"time"

	"sluice/iot"
)

// activity remembers when identities were last heard of, and the plug and play models
// that they said to be of when they connected. It is lost when the hub stops, as nothing
// depends on it.
type activity struct {
	mu     sync.Mutex
	at     map[iot.Identity]time.Time
	models map[iot.Identity]string // but for those without one
}

// noteModel notes the model of an identity that has connected; "" if it has none.
func (a *activity) noteModel(id iot.Identity, model string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if model == "" {
		delete(a.models, id)
		return
	}
	if a.models == nil {
		a.models = map[iot.Identity]string{}
	}
	a.models[id] = model
}

func (a *activity) model(id iot.Identity) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.models[id]
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
	delete(a.models, id)
}
