// Package mqttmem is an [mqtt.Backend] in memory with open topics: every client
// may publish and subscribe to everything, as with a plain broker. It serves
// tests, examples and conformance suites, and shows what a backend has to do:
// sessions that outlive a connection, takeover, retained messages, wills, and a
// queue for each client from which no more is moved than the client takes.
//
// Nothing survives the process, and queues are bounded by number only.
package mqttmem

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"sluice/mqtt"
)

// ErrTakenOver is the reason given to a connection whose client connects anew.
var ErrTakenOver = errors.New("mqttmem: client connected elsewhere")

// A Broker is the backend. Its zero value is ready to use.
type Broker struct {
	// MaxQueue is the number of messages kept for a client that does not take
	// them; the newest are dropped. Zero is 1000.
	MaxQueue int
	// Authorize, if not nil, judges each CONNECT first.
	Authorize func(*mqtt.Connect) error

	mu       sync.Mutex
	clients  map[string]*client
	retained map[string]mqtt.Message
	made     int // client identifiers
}

// A client is a session in the standard's sense: it may have a connection or not.
type client struct {
	broker *Broker
	id     string

	// Guarded by broker.mu.
	filters  map[string]mqtt.QoS
	conn     *mqtt.Conn      // nil while there is none
	queue    []mqtt.Message  // not yet sent
	inFlight []*mqtt.Message // sent, not acknowledged, in order
}

// A connection is a client's mqtt.Session.
type connection struct {
	*client
	conn  *mqtt.Conn
	clean bool
}

// Connect implements mqtt.Backend.
func (b *Broker) Connect(_ context.Context, c *mqtt.Connect, conn *mqtt.Conn) (mqtt.Session, bool, error) {
	if b.Authorize != nil {
		if err := b.Authorize(c); err != nil {
			return nil, false, err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	id := c.ClientID
	if id == "" {
		b.made++
		id = fmt.Sprintf("auto-%d", b.made) // [MQTT-3.1.3-6]
	}
	old := b.clients[id]
	if old != nil && old.conn != nil {
		old.conn.Close(ErrTakenOver)
	}
	cl := old
	if old == nil || c.CleanSession {
		cl = &client{broker: b, id: id, filters: make(map[string]mqtt.QoS)} // [MQTT-3.1.2-6]
	}
	cl.takeBack()
	cl.conn = conn
	if b.clients == nil {
		b.clients = make(map[string]*client)
	}
	b.clients[id] = cl
	return &connection{cl, conn, c.CleanSession}, cl == old, nil
}

// takeBack puts what was in flight at the head of the queue, to be sent again.
func (c *client) takeBack() {
	var again []mqtt.Message
	for _, m := range c.inFlight {
		m.Dup = true
		again = append(again, *m)
	}
	c.inFlight = nil
	c.queue = append(again, c.queue...)
}

// Publish implements mqtt.Session.
func (c *connection) Publish(batch []mqtt.Publish) {
	for i := range batch {
		c.broker.publish(batch[i].Message)
		batch[i].Ack(nil)
	}
}

// publish keeps a retained message and queues m for those who subscribed.
func (b *Broker) publish(m mqtt.Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if m.Retain {
		b.retain(m)
	}
	m.Retain, m.Dup, m.PacketID = false, false, 0 // [MQTT-3.3.1-9] [MQTT-3.3.1-3]
	for _, c := range b.clients {
		if qos, ok := c.matches(m.Topic); ok {
			out := m
			out.QoS = min(m.QoS, qos)
			c.enqueue(out)
		}
	}
}

func (b *Broker) retain(m mqtt.Message) {
	if len(m.Payload) == 0 {
		delete(b.retained, m.Topic) // [MQTT-3.3.1-10]
		return
	}
	if b.retained == nil {
		b.retained = make(map[string]mqtt.Message)
	}
	m.Dup, m.PacketID = false, 0
	b.retained[m.Topic] = m
}

// matches returns the greatest QoS of the filters that match [MQTT-3.3.5-1].
func (c *client) matches(topic string) (qos mqtt.QoS, ok bool) {
	for f, q := range c.filters {
		if mqtt.Match(f, topic) {
			qos, ok = max(qos, q), true
		}
	}
	return qos, ok
}

// enqueue queues m, and sends it if it may go now.
func (c *client) enqueue(m mqtt.Message) {
	if c.conn == nil && m.QoS == mqtt.AtMostOnce {
		return
	}
	limit := c.broker.MaxQueue
	if limit == 0 {
		limit = 1000
	}
	if len(c.queue) < limit {
		c.queue = append(c.queue, m)
	}
	c.send()
}

// send moves messages from the queue to the connection until that is full.
func (c *client) send() {
	for c.conn != nil && len(c.queue) > 0 {
		m := c.queue[0]
		var done func(error)
		sent := &m
		if m.QoS > mqtt.AtMostOnce {
			conn := c.conn
			done = func(err error) { c.settled(conn, sent, err) }
		}
		id, err := c.conn.Publish(m, done)
		if err != nil {
			return // full, or closed: Ready or another connection goes on
		}
		c.queue = c.queue[1:]
		if done != nil {
			sent.PacketID = id
			c.inFlight = append(c.inFlight, sent)
		}
	}
}

// settled removes an acknowledged message. What was not acknowledged stays.
func (c *client) settled(conn *mqtt.Conn, m *mqtt.Message, err error) {
	if err != nil {
		return
	}
	c.broker.mu.Lock()
	defer c.broker.mu.Unlock()
	for i, other := range c.inFlight {
		if other == m && c.conn == conn {
			c.inFlight = append(c.inFlight[:i:i], c.inFlight[i+1:]...)
			return
		}
	}
}

// Subscribe implements mqtt.Session. All filters are granted as asked for.
func (c *connection) Subscribe(filters []mqtt.Filter) ([]mqtt.QoS, error) {
	c.broker.mu.Lock()
	defer c.broker.mu.Unlock()
	granted := make([]mqtt.QoS, len(filters))
	for i, f := range filters {
		granted[i] = f.QoS
		c.filters[f.Topic] = f.QoS
		for topic, m := range c.broker.retained {
			if mqtt.Match(f.Topic, topic) { // [MQTT-3.3.1-6]
				m.QoS = min(m.QoS, f.QoS)
				c.enqueue(m)
			}
		}
	}
	return granted, nil
}

// Unsubscribe implements mqtt.Session.
func (c *connection) Unsubscribe(filters []string) error {
	c.broker.mu.Lock()
	defer c.broker.mu.Unlock()
	for _, f := range filters {
		delete(c.filters, f)
	}
	return nil
}

// Ready implements mqtt.Session.
func (c *connection) Ready() {
	c.broker.mu.Lock()
	defer c.broker.mu.Unlock()
	if c.client.conn == c.conn {
		c.send()
	}
}

// Closed implements mqtt.Session.
func (c *connection) Closed(_ error, will *mqtt.Message) {
	if will != nil {
		c.broker.publish(*will)
	}
	c.broker.mu.Lock()
	defer c.broker.mu.Unlock()
	if c.client.conn != c.conn {
		return // another connection has the session
	}
	c.client.conn = nil
	if c.clean && c.broker.clients[c.id] == c.client {
		delete(c.broker.clients, c.id)
	}
}
