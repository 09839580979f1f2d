package amqplink

import (
	"context"
	"sync"

	"sluice/amqp10"
	"sluice/internal/amqpmsg"
	"sluice/internal/upstream/inbox"
	"sluice/iot"
)

// commands is the link on which a device receives its commands, or a module its
// inputs. The hub is given credit for what the receiver has granted. Credit that is revoked is not taken back: what
// comes on it waits until it is granted again.
type commands struct {
	s    *session
	in   *inbox.Inbox
	link *amqp10.Receiver

	mu        sync.Mutex
	credit    int // given to the hub and not used
	unsettled map[string]*amqp10.Delivery
	closed    bool
}

// Commands attaches the link for commands.
func (s *session) Commands(deliver func(iot.Delivery)) (iot.Subscription, error) {
	if s.id.IsModule() {
		return nil, iot.Errorf(iot.NotFound, "commands", s.id, "a hub has commands for devices only")
	}
	return s.receive("commands", "/messages/devicebound", deliver)
}

// Inputs attaches the link for what a gateway's routes bring a module, on all its
// inputs.
func (s *session) Inputs(deliver func(iot.Delivery)) (iot.Subscription, error) {
	if !s.id.IsModule() {
		return nil, iot.Errorf(iot.NotFound, "inputs", s.id, "only modules have inputs")
	}
	return s.receive("inputs", "/messages/events", deliver)
}

// receive attaches a link to what comes from a node.
func (s *session) receive(op, node string, deliver func(iot.Delivery)) (iot.Subscription, error) {
	s.attaching.Lock()
	defer s.attaching.Unlock()
	s.mu.Lock()
	before := s.commands
	s.commands = nil
	s.mu.Unlock()
	if before != nil {
		before.Close()
	}
	c := &commands{s: s, in: inbox.New(deliver), unsettled: make(map[string]*amqp10.Delivery)}
	if err := c.attach(op, node); err != nil {
		return nil, failure(op, s.id, err)
	}
	s.mu.Lock()
	s.commands = c
	over := s.reason
	s.mu.Unlock()
	if over != nil {
		c.Close()
		return nil, over
	}
	return c, nil
}

func (c *commands) attach(name, node string) error {
	s := c.s
	ctx, done := s.operate(context.Background())
	defer done()
	lane, err := s.channel()
	if err != nil {
		return err
	}
	c.link, err = lane.AttachReceiver(ctx, amqp10.ReceiverConfig{
		Name:       s.linkName(name),
		Source:     &amqp10.Source{Address: nodeOf(s.id, node)},
		Target:     &amqp10.Target{Address: s.id.String()},
		Properties: s.link(""),
		OnDelivery: c.take,
		OnClose:    c.detached,
	})
	return err
}

// detached is the OnClose of the link.
func (c *commands) detached(err error) {
	c.mu.Lock()
	closed := c.closed
	c.mu.Unlock()
	if !closed {
		c.s.linkClosed(err)
	}
}

// take keeps a delivery until it is granted.
func (c *commands) take(in *amqp10.Delivery) {
	d, err := readDelivery(in)
	if err != nil {
		in.Reject(amqp10.Errorf(amqp10.ErrDecode, "%v", err))
		return
	}
	c.mu.Lock()
	c.credit--
	closed := c.closed
	if !closed {
		c.unsettled[d.LockToken] = in
	}
	c.mu.Unlock()
	if closed {
		in.Release()
		return
	}
	c.in.Put(d)
}

// readDelivery reads a command or an input. Its lock token is the hub's, or the delivery tag.
func readDelivery(in *amqp10.Delivery) (iot.Delivery, error) {
	msg, err := in.Message()
	if err != nil {
		return iot.Delivery{}, err
	}
	d := iot.Delivery{Count: deliveryCount(msg)}
	d.Repeat = d.Count > 0
	if err = amqpmsg.ReadCommand(msg, &d.Message); err != nil {
		return d, err
	}
	token, _ := msg.Annotations.Get("x-opt-lock-token")
	d.LockToken = amqpmsg.Correlation(token)
	if d.LockToken == "" {
		d.LockToken = amqpmsg.Correlation(in.Tag())
	}
	return d, nil
}

// deliveryCount is how often the message was delivered before.
func deliveryCount(msg *amqp10.Message) int {
	count := 0
	if msg.Header != nil {
		count = int(msg.Header.DeliveryCount)
	}
	for _, a := range msg.Annotations {
		if a.Key == "iothub-deliverycount" {
			if n, ok := amqpmsg.Integer(a.Value); ok {
				count = max(count, n)
			}
		}
	}
	return count
}

// Settle tells the hub the outcome of a command.
func (s *session) Settle(_ context.Context, token string, outcome iot.Outcome) error {
	s.mu.Lock()
	c, over := s.commands, s.reason
	s.mu.Unlock()
	if over != nil {
		return over
	}
	var in *amqp10.Delivery
	if c != nil {
		in = c.settled(token)
	}
	if in == nil {
		return iot.Errorf(iot.NotFound, "settle", s.id, "no delivery has this lock token")
	}
	switch outcome {
	case iot.Complete:
		in.Accept()
	case iot.Reject:
		in.Reject(nil)
	default:
		in.Release()
	}
	return nil
}

func (c *commands) settled(token string) *amqp10.Delivery {
	c.mu.Lock()
	defer c.mu.Unlock()
	in := c.unsettled[token]
	delete(c.unsettled, token)
	return in
}

// Grant allows n more commands.
func (c *commands) Grant(n int) {
	c.in.Grant(n)
	c.mu.Lock()
	defer c.mu.Unlock()
	more := c.in.Wanted() - c.credit
	if more > 0 && !c.closed {
		c.credit += more
		c.link.IssueCredit(uint32(more))
	}
}

// Revoke withdraws what was granted and not used.
func (c *commands) Revoke() int { return c.in.Revoke() }

// Close detaches the link, and gives back what was not settled.
func (c *commands) Close() {
	c.in.Close()
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	c.closed = true
	left := c.unsettled
	c.unsettled = nil
	c.mu.Unlock()
	for _, in := range left {
		in.Release()
	}
	c.link.CloseWith(nil)
}
