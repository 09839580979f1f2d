package mqttbridge

import (
	"errors"
	"sync"

	"sluice/mqtt"
)

// client is the session of one connection to the bridge's own broker.
type client struct {
	of     *broker
	conn   *mqtt.Conn
	id     string
	user   string
	own    string // the one leaf whose topics it may use; "" for all
	source source

	filters map[string]mqtt.QoS // guarded by broker.mu

	mu    sync.Mutex
	queue []outgoing // what the connection had no room for
	gone  bool
}

// outgoing is a publication to a client.
type outgoing struct {
	message mqtt.Message
	of      *pending
}

// maxQueue is how much may wait for a client that is slow to take it. What is more
// it does not get.
const maxQueue = 64

// Publish implements mqtt.Session.
func (c *client) Publish(batch []mqtt.Publish) {
	list := make([]*publication, len(batch))
	for i := range batch {
		p := &batch[i]
		list[i] = &publication{
			topic: p.Topic, payload: p.Payload, clientID: c.id, username: c.user, qos: p.QoS, own: c.own,
			ack: ackOf(*p),
		}
	}
	c.of.of.in.push(&c.source, list...)
}

// ackOf keeps a publication's acknowledgement, and not its payload.
func ackOf(p mqtt.Publish) func(error) {
	p.Message = mqtt.Message{}
	return p.Ack
}

// Subscribe implements mqtt.Session. Filters that are too long are refused, and to
// a client that is kept to its own topics those that reach others'.
func (c *client) Subscribe(filters []mqtt.Filter) ([]mqtt.QoS, error) {
	k := c.of
	granted := make([]mqtt.QoS, len(filters))
	var changed []string
	var everybody bool
	k.mu.Lock()
	for i, f := range filters {
		if len(f.Topic) > maxFilter || !c.may(f.Topic) {
			granted[i] = mqtt.Refused
			continue
		}
		granted[i] = f.QoS
		c.filters[f.Topic] = f.QoS
		leaves, all := k.note(c, f.Topic)
		changed, everybody = append(changed, leaves...), everybody || all
	}
	k.mu.Unlock()
	k.tell(changed, everybody)
	c.catchUp(filters, granted)
	return granted, nil
}

// may reports whether the client may subscribe to a filter.
func (c *client) may(filter string) bool {
	if c.own == "" {
		return true
	}
	for _, topic := range c.of.of.mapping.Load().down {
		if topic == nil {
			continue
		}
		if leaf, all, any := topic.reach(filter); any && (all || leaf != c.own) {
			return false
		}
	}
	return true
}

// catchUp sends the desired properties that others have been told already. A leaf
// that nobody listened for is told by the gateway, which hears of it.
func (c *client) catchUp(filters []mqtt.Filter, granted []mqtt.QoS) {
	topic := c.of.of.mapping.Load().down[desired]
	if topic == nil {
		return
	}
	for i, f := range filters {
		leaf, all, any := topic.reach(f.Topic)
		if !any || all || granted[i] == mqtt.Refused {
			continue
		}
		if body := c.of.of.lastDesired(leaf); body != nil {
			c.send(delivery{desired, leaf, topic.topic("id", leaf), body, true}, &pending{left: 1, done: func(error) {}})
		}
	}
}

// Unsubscribe implements mqtt.Session.
func (c *client) Unsubscribe(filters []string) error {
	var changed []string
	var everybody bool
	c.of.mu.Lock()
	for _, f := range filters {
		if _, ok := c.filters[f]; !ok {
			continue
		}
		delete(c.filters, f)
		leaves, all := c.of.forget(c, f)
		changed, everybody = append(changed, leaves...), everybody || all
	}
	c.of.mu.Unlock()
	c.of.tell(changed, everybody)
	return nil
}

// errSlow and errLeft are why a client did not get something.
var (
	errSlow = errors.New("the device is too slow")
	errLeft = errors.New("the device left")
)

// send gives the client a publication, now or when there is room.
func (c *client) send(d delivery, p *pending) {
	qos, fits := c.grantedFor(d.topic)
	if !fits {
		p.settle(errNobody)
		return
	}
	out := outgoing{mqtt.Message{Topic: d.topic, Payload: d.payload, QoS: qos, Retain: d.retain}, p}
	c.mu.Lock()
	switch {
	case c.gone:
		c.mu.Unlock()
		p.settle(errLeft)
		return
	case len(c.queue) >= maxQueue:
		c.mu.Unlock()
		p.settle(errSlow)
		return
	}
	c.queue = append(c.queue, out)
	failed := c.flush()
	c.mu.Unlock()
	for _, p := range failed {
		p.settle(errLeft)
	}
}

// grantedFor is the QoS for a topic that one of the client's filters matches.
func (c *client) grantedFor(topic string) (qos mqtt.QoS, fits bool) {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	for f, q := range c.filters {
		if mqtt.Match(f, topic) {
			qos, fits = max(qos, q), true
		}
	}
	return qos, fits
}

// flush moves what is queued to the connection, until that is full. It is called
// with mu, and returns what cannot be sent at all.
func (c *client) flush() (failed []*pending) {
	for len(c.queue) > 0 {
		next := c.queue[0]
		_, err := c.conn.Publish(next.message, next.of.settle)
		if errors.Is(err, mqtt.ErrFull) {
			return failed // Ready goes on, or Closed ends it
		}
		if err != nil {
			failed = append(failed, next.of)
		}
		c.queue = c.queue[1:]
	}
	c.queue = nil
	return failed
}

// Ready implements mqtt.Session.
func (c *client) Ready() {
	c.mu.Lock()
	failed := c.flush()
	c.mu.Unlock()
	for _, p := range failed {
		p.settle(errLeft)
	}
}

// Closed implements mqtt.Session. A will is a publication like any other, that
// nobody waits for.
func (c *client) Closed(_ error, will *mqtt.Message) {
	k := c.of
	k.of.in.drop(&c.source)
	if will != nil {
		last := new(source)
		k.of.in.push(last, &publication{topic: will.Topic, payload: will.Payload, clientID: c.id, username: c.user, qos: will.QoS, own: c.own, ack: func(error) {}})
	}
	c.mu.Lock()
	c.gone = true
	left := c.queue
	c.queue = nil
	c.mu.Unlock()
	for _, out := range left {
		out.of.settle(errLeft)
	}
	k.leave(c)
}

// leave forgets a client and its subscriptions.
func (k *broker) leave(c *client) {
	var changed []string
	var everybody bool
	k.mu.Lock()
	if k.clients[c.id] == c {
		delete(k.clients, c.id)
	}
	filters := c.filters
	c.filters = nil
	for f := range filters {
		leaves, all := k.forget(c, f)
		changed, everybody = append(changed, leaves...), everybody || all
	}
	k.mu.Unlock()
	k.tell(changed, everybody)
}
