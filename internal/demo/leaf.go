package demo

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// leaf is a machine that knows plain MQTT and nothing of a hub. It publishes what it
// measures, hears whether the hub knows it, and answers any method that it is called
// with.
type leaf struct {
	device
	begin   time.Duration // when it is switched on
	allowed bool

	mu       sync.Mutex
	state    string // what it was told: registered, refused, …
	answered int    // methods
}

// run switches the machine on.
func (l *leaf) run(ctx context.Context) {
	pause(ctx, l.begin)
	l.device.run(ctx)
}

// connected subscribes, over each connection anew.
func (l *leaf) connected(c paho.Client) {
	c.SubscribeMultiple(map[string]byte{
		"device/" + l.id + "/state":      1,
		"device/" + l.id + "/method/+/+": 1,
	}, l.heard)
}

func (l *leaf) heard(c paho.Client, m paho.Message) {
	if strings.HasSuffix(m.Topic(), "/state") {
		var said struct {
			State string `json:"state"`
		}
		if json.Unmarshal(m.Payload(), &said) == nil {
			l.mu.Lock()
			l.state = said.State
			l.mu.Unlock()
		}
		return
	}
	// device/ID/method/NAME/RID
	levels := strings.Split(m.Topic(), "/")
	answer, err := json.Marshal(map[string]string{"machine": l.id, "did": levels[3]})
	if err != nil {
		return // cannot happen: texts
	}
	c.Publish("device/"+l.id+"/method/res/"+levels[4]+"/200", 1, false, answer)
	l.mu.Lock()
	l.answered++
	l.mu.Unlock()
}

// told is what the machine knows of itself.
func (l *leaf) told() (state string, answered int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state, l.answered
}
