package mqttbridge

import (
	"encoding/json"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	directmethod "sluice/internal/method"
	"sluice/translator"
)

// calls are the direct methods that leaves have not answered, by request id.
type calls struct {
	mu    sync.Mutex
	next  uint64
	byRID map[string]*call
	ended bool
}

type call struct {
	*translator.Call
	timer *time.Timer
}

// begin chooses where request ids begin, so that an answer to an earlier run's
// question is not taken for one to this run's.
func (c *calls) begin() {
	c.next = uint64(rand.Uint32()) << 16
	c.byRID = make(map[string]*call)
}

// add keeps a call until it is answered or its time is over.
func (c *calls) add(ask *translator.Call) (rid string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next++
	rid = strconv.FormatUint(c.next, 36)
	if !c.ended {
		c.byRID[rid] = &call{ask, time.AfterFunc(ask.Timeout, func() { c.take(rid, ask.Leaf.ID()) })}
	}
	return rid
}

// take finds the call of a leaf, and forgets it.
func (c *calls) take(rid, leaf string) *translator.Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := c.byRID[rid]
	if found == nil || found.Leaf.ID() != leaf {
		return nil
	}
	delete(c.byRID, rid)
	found.timer.Stop()
	return found.Call
}

// end forgets all.
func (c *calls) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	for rid, found := range c.byRID {
		found.timer.Stop()
		delete(c.byRID, rid)
	}
}

// statusNotThere is what IoT Hub answers for a device that is not connected.
const statusNotThere = 404

// method asks a leaf.
func (b *Bridge) method(ask *translator.Call) {
	topic := b.mapping.Load().down[method]
	if topic == nil {
		ask.Answer(501, json.RawMessage(`{"message":"methods are turned off"}`))
		return
	}
	if !validTopicLevel(ask.Name) {
		ask.Answer(400, json.RawMessage(`{"message":"a method of this name cannot be a level of a topic"}`))
		return
	}
	leaf, rid := ask.Leaf.ID(), b.calls.add(ask)
	b.field.deliver(delivery{method, leaf, topic.topic("id", leaf, "name", ask.Name, "rid", rid), ask.Payload, false}, func(err error) {
		if err == nil || b.calls.take(rid, leaf) == nil {
			return // it is for the leaf to answer, or it has, or time is over
		}
		body, _ := json.Marshal(map[string]string{"message": "the device was not reached: " + err.Error()})
		ask.Answer(statusNotThere, body)
	})
}

// validTopicLevel reports whether text can be one level of a topic.
func validTopicLevel(s string) bool { return s != "" && !strings.ContainsAny(s, "/+#\x00") }

// answered takes a leaf's answer.
func (b *Bridge) answered(topic *pattern, p *publication) error {
	var id, rid, status string
	topic.match(p.topic, func(name, value string) {
		switch name {
		case "id":
			id = value
		case "rid":
			rid = value
		case "status":
			status = value
		}
	})
	if p.own != "" && p.own != id {
		return refuse("own_topics lets this client speak for %q, not for %.150q", p.own, id)
	}
	code, err := strconv.ParseInt(status, 10, 32)
	if err != nil {
		return refuse("the status of an answer is %.50q, not a number", status)
	}
	ask := b.calls.take(rid, id)
	if ask == nil {
		return refuse("nobody asked, or not any more: request id %.50q", rid)
	}
	ask.Answer(int(code), directmethod.Payload(p.payload))
	return nil
}
