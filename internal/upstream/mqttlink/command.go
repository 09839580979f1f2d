package mqttlink

import (
	"context"
	"crypto/rand"
	"strings"
	"sync"

	paho "github.com/eclipse/paho.mqtt.golang"

	"sluice/internal/topic"
	"sluice/internal/upstream/inbox"
	"sluice/iot"
)

// commands are what a device receives, or the inputs of a module. In MQTT 3.1.1
// the hub decides how many are under way; those that are not granted yet wait here,
// unacknowledged.
type commands struct {
	s  *session
	in *inbox.Inbox

	mu        sync.Mutex
	unsettled map[string]paho.Message // by a lock token of our own
	closed    bool
}

// maxWaiting is how many commands may wait to be granted. IoT Hub keeps 50 for a
// device. More are left with the hub, which sends them again to the next
// connection.
const maxWaiting = 256

func commandPrefix(id iot.Identity) string {
	if id.IsModule() {
		return "devices/" + id.Device + "/modules/" + id.Module + "/inputs/"
	}
	return "devices/" + id.Device + "/messages/devicebound/"
}

func commandFilter(id iot.Identity) filter { return filter{commandPrefix(id) + "#", 1} }

// Commands subscribes to the device's commands.
func (s *session) Commands(deliver func(iot.Delivery)) (iot.Subscription, error) {
	if s.id.IsModule() {
		return nil, iot.Errorf(iot.NotFound, "commands", s.id, "a hub has commands for devices only")
	}
	return s.receive("commands", deliver)
}

// Inputs subscribes to what a gateway's routes bring a module, on all its inputs.
func (s *session) Inputs(deliver func(iot.Delivery)) (iot.Subscription, error) {
	if !s.id.IsModule() {
		return nil, iot.Errorf(iot.NotFound, "inputs", s.id, "only modules have inputs")
	}
	return s.receive("inputs", deliver)
}

func (s *session) receive(op string, deliver func(iot.Delivery)) (iot.Subscription, error) {
	ctx, cancel := s.operate(context.Background())
	defer cancel()
	c := &commands{s: s, in: inbox.New(deliver), unsettled: make(map[string]paho.Message)}
	s.mu.Lock()
	before := s.commands
	s.commands = c // before the answer: commands may come at once
	s.mu.Unlock()
	if before != nil {
		before.drop()
	}
	if err := s.subscribe(ctx, op, commandFilter(s.id)); err != nil {
		s.forget(c)
		return nil, err
	}
	return c, nil
}

// forget drops a subscription, and reports whether it was the one of the moment.
func (s *session) forget(c *commands) bool {
	s.mu.Lock()
	current := s.commands == c
	if current {
		s.commands = nil
	}
	s.mu.Unlock()
	c.drop()
	return current
}

// commanded keeps a command until it is granted.
func (s *session) commanded(m paho.Message) {
	s.mu.Lock()
	c := s.commands
	s.mu.Unlock()
	if c == nil || c.in.Waiting() >= maxWaiting {
		return
	}
	d := iot.Delivery{LockToken: rand.Text(), Repeat: m.Duplicate()}
	if d.Repeat {
		d.Count = 1 // at least
	}
	if err := parseDelivery(s.id, m.Topic(), &d.Message); err != nil {
		// Whoever sent it, nobody can take it.
		s.background(func(*connection) { m.Ack() })
		return
	}
	d.Message.Body = append([]byte(nil), m.Payload()...)
	if c.keep(d.LockToken, m) {
		c.in.Put(d)
	}
}

// parseDelivery reads the topic of a command, or of an input: the bag follows the
// input's name.
func parseDelivery(id iot.Identity, name string, m *iot.Message) error {
	rest := strings.TrimPrefix(name, commandPrefix(id))
	if !id.IsModule() {
		return topic.ParseBag(rest, m)
	}
	input, bag, _ := strings.Cut(rest, "/")
	m.System.Set(iot.InputName, topic.Unescape(input))
	return topic.ParseHubBag(bag, m)
}

func (c *commands) keep(token string, m paho.Message) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.unsettled[token] = m
	}
	return !c.closed
}

// Settle acknowledges a command that is completed. MQTT has no word for the other
// outcomes: what is abandoned stays unacknowledged, and the hub sends it again
// when its lock ends or to the next connection; so is what is rejected, which is
// an error, for the hub gives up on it only after its own count of tries.
func (s *session) Settle(_ context.Context, token string, outcome iot.Outcome) error {
	s.mu.Lock()
	c, over := s.commands, s.reason
	s.mu.Unlock()
	if over != nil {
		return over
	}
	var m paho.Message
	if c != nil {
		m = c.settled(token)
	}
	switch {
	case m == nil:
		return iot.Errorf(iot.NotFound, "settle", s.id, "no delivery has this lock token")
	case outcome == iot.Reject:
		return iot.Errorf(iot.Invalid, "settle", s.id, "MQTT cannot reject: the hub sends the command again until it gives up")
	case outcome == iot.Complete:
		s.background(func(*connection) { m.Ack() })
	}
	return nil
}

func (c *commands) settled(token string) paho.Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.unsettled[token]
	delete(c.unsettled, token)
	return m
}

// renewed forgets what an older connection delivered: it comes again.
func (c *commands) renewed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.unsettled)
}

// drop ends deliveries.
func (c *commands) drop() {
	c.in.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed, c.unsettled = true, nil
}

// Grant allows n more commands.
func (c *commands) Grant(n int) { c.in.Grant(n) }

// Revoke withdraws what was granted and not used.
func (c *commands) Revoke() int { return c.in.Revoke() }

// Close unsubscribes. What is not settled stays with the hub.
func (c *commands) Close() {
	if c.s.forget(c) {
		c.s.unsubscribe(commandFilter(c.s.id), func() bool { return c.s.commands != nil })
	}
}
