package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"sluice/amqp10"
)

// An amqpClient sends durable messages on one link and counts those that are
// accepted. It sends from one goroutine; outcomes come on that of the connection.
type amqpClient struct {
	link    *amqp10.Sender
	payload []byte
	done    []func(amqp10.Outcome, error) // by slot
	wake    chan struct{}                 // an outcome has come, or credit

	mu sync.Mutex // guards what is below
	meter
	kept bool   // a message is due for which there was no credit
	slot uint16 // of that message
}

// connectAMQP opens the connection of client n and attaches its link.
func (l *Load) connectAMQP(ctx context.Context, n int) (*amqpClient, error) {
	login, err := l.Target.Login(n)
	if err != nil {
		return nil, err
	}
	message := amqp10.NewMessage(payload(l.Size))
	message.Header = &amqp10.Header{Durable: true, Priority: 4}
	c := &amqpClient{meter: l.newMeter(n), wake: make(chan struct{}, 1)}
	if c.payload, err = message.AppendTo(nil); err != nil {
		return nil, err
	}
	for slot := range l.Window {
		c.done = append(c.done, func(o amqp10.Outcome, err error) { c.settled(slot, o, err) })
	}
	if err := c.attach(ctx, &l.Target, &login); err != nil {
		return nil, fmt.Errorf("log in as %s: %w", login.ClientID, err)
	}
	return c, nil
}

func (c *amqpClient) attach(ctx context.Context, t *Target, login *Login) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	config := amqp10.ClientConfig{ContainerID: login.ClientID, Hostname: login.Host, TLS: t.TLS, Login: amqp10.LoginAnonymous()}
	if login.Username != "" {
		config.Login = amqp10.LoginPlain(amqp10.Credentials{User: login.Username, Password: login.Password})
	}
	conn, err := amqp10.Dial(ctx, t.Address, config)
	if err != nil {
		return err
	}
	session, err := conn.NewSession(ctx)
	if err == nil {
		unsettled := amqp10.SendUnsettled
		c.link, err = session.AttachSender(ctx, amqp10.SenderConfig{
			Target:     &amqp10.Target{Address: login.Topic},
			SenderMode: &unsettled,
			OnCredit:   func(uint32, bool) { c.rouse() },
			OnClose:    func(error) { c.rouse() },
		})
	}
	if err != nil {
		_ = conn.Close(ctx) // the first error says more
	}
	return err
}

func (c *amqpClient) rouse() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Close cuts the connection.
func (c *amqpClient) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	return c.link.Conn().Close(ctx)
}

// settled is the Done of what was sent in a slot.
func (c *amqpClient) settled(slot int, o amqp10.Outcome, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil:
	case err != nil:
		c.err = err
	case o.Kind != amqp10.KindAccepted:
		c.err = fmt.Errorf("a message was %v: %v", o.Kind, o.Error)
	default:
		c.err = c.acknowledged(slot, time.Now())
	}
	c.rouse()
}

// run sends until the end and waits for what is in flight then.
func (c *amqpClient) run() {
	defer c.Close()
	timer := time.NewTimer(answerTime)
	defer timer.Stop()
	ended := time.Time{}
	for {
		until, over := c.turn(&ended)
		if over {
			return
		}
		timer.Reset(time.Until(until))
		select {
		case <-c.wake:
		case now := <-timer.C:
			c.late(now)
		}
	}
}

// turn sends what is due. It returns until when to wait for an outcome, and
// whether the client is done.
func (c *amqpClient) turn(ended *time.Time) (until time.Time, over bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if ended.IsZero() && c.over(now) {
		*ended = now
	}
	if c.err == nil {
		c.err = c.send(now, ended.IsZero())
	}
	over = c.err != nil || c.inFlight == 0 && (!ended.IsZero() || c.over(now))
	return c.patience(*ended), over
}

// late is called when nothing has come in time.
func (c *amqpClient) late(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.isDue(now) && c.err == nil {
		c.err = errUnanswered
	}
}

// send sends what there is credit for: what was kept, and with more what there is
// room for and what is due.
func (c *amqpClient) send(now time.Time, more bool) error {
	for {
		if !c.kept && more {
			c.slot, c.kept = c.next(now)
		}
		if !c.kept {
			return c.link.Err()
		}
		switch err := c.link.Send(amqp10.Outgoing{Payload: c.payload, Done: c.done[c.slot]}); {
		case errors.Is(err, amqp10.ErrNoCredit):
			return nil
		case err != nil:
			return err
		}
		c.kept = false
	}
}
