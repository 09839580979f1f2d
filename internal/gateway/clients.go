package gateway

import (
	"encoding/json"
	"strings"
	"sync"
	"time"

	"sluice/internal/presence"
	"sluice/iot"
)

// clientsEvery is how often the hub is told who came and went.
const clientsEvery = 5 * time.Second

// clients is what the hub does not know yet of who is connected: the part
// "clients" of $edgeHub's reported properties, as edgeHub writes it.
type clients struct {
	mu    sync.Mutex
	news  map[string]any // by encoded id; nil removes
	begun bool           // the hub's list is ours
}

type clientStatus struct {
	Status       string `json:"status"`
	Connected    string `json:"lastConnectedTimeUtc,omitempty"`
	Disconnected string `json:"lastDisconnectedTimeUtc,omitempty"`
}

var clientName = strings.NewReplacer(".", "%2E", "$", "%24", " ", "%20")

// note notes that an identity has come or gone. A device that has gone is removed
// from the list, a module stays in it.
func (c *clients) note(id iot.Identity, here bool, now time.Time) {
	at := now.UTC().Format(time.RFC3339Nano)
	var status any
	switch {
	case here:
		status = clientStatus{Status: "Connected", Connected: at}
	case id.IsModule():
		status = clientStatus{Status: "Disconnected", Disconnected: at}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.news == nil {
		c.news = map[string]any{}
	}
	c.news[clientName.Replace(id.String())] = status
}

// reset begins the list anew: the hub's is from before a break, or a restart.
func (c *clients) reset(sessions *presence.Table[*session]) {
	c.mu.Lock()
	c.news, c.begun = map[string]any{}, false
	c.mu.Unlock()
	for _, s := range sessions.All() {
		c.note(s.Identity(), true, s.Since())
	}
}

// take returns the patch that tells the hub what is new, or nil if nothing is.
func (c *clients) take() json.RawMessage {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.begun {
		// A patch can replace the list only by removing it first.
		c.begun = true
		return json.RawMessage(`{"clients":null}`)
	}
	if len(c.news) == 0 {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"clients": c.news})
	if err != nil {
		return nil // text has a form
	}
	c.news = map[string]any{}
	return patch
}

// giveBack takes back a patch that did not reach the hub. What has become of its
// identities meanwhile counts more.
func (c *clients) giveBack(patch json.RawMessage) {
	var p struct{ Clients map[string]*clientStatus }
	if json.Unmarshal(patch, &p) != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.Clients == nil {
		c.begun = false
	}
	for name, status := range p.Clients {
		if _, newer := c.news[name]; newer {
			continue
		}
		if c.news[name] = nil; status != nil {
			c.news[name] = *status
		}
	}
}
