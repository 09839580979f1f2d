package amqplink

import (
	"context"
	"crypto/rand"
	"sync"

	"sluice/amqp10"
	"sluice/internal/amqpmsg"
	"sluice/internal/topic"
	"sluice/iot"
)

// cbsNode takes tokens.
const cbsNode = "$cbs"

// A tokenDesk puts tokens to $cbs. Its links are attached when they are needed:
// hubs close those that have been idle for long.
type tokenDesk struct {
	line      *line
	attaching sync.Mutex // one attaches at a time; not taken by callbacks
	lane      *lane      // guarded by attaching

	mu      sync.Mutex
	links   *claimLinks           // nil while there are none
	waiting map[string]chan error // by message id
}

// claimLinks are the links to and from $cbs.
type claimLinks struct {
	sender   *amqp10.Sender
	receiver *amqp10.Receiver
	closed   bool // guarded by tokenDesk.mu
}

// cbsWindow is how many answers may be under way.
const cbsWindow = 64

// put offers a token for an identity, and waits for the hub's judgement.
func (d *tokenDesk) put(ctx context.Context, id iot.Identity, token string) error {
	links, err := d.attach(ctx)
	if err != nil {
		return err
	}
	request := amqpmsg.NewUUID().String()
	answer := make(chan error, 1)
	d.expect(request, answer)
	defer d.forget(request)
	msg := &amqp10.Message{Value: token, Properties: &amqp10.Properties{MessageID: request, To: cbsNode, ReplyTo: "cbs"}}
	msg.ApplicationProperties.Set("operation", "put-token")
	msg.ApplicationProperties.Set("type", "servicebus.windows.net:sastoken")
	msg.ApplicationProperties.Set("name", audience(d.line.pool.cfg.HostName, id))
	o, err := links.sender.Deliver(ctx, amqp10.Outgoing{Message: msg})
	if err != nil {
		return err
	}
	if err := outcomeError("put-token", id, o); err != nil {
		return err
	}
	select {
	case err := <-answer:
		return err
	case <-d.line.conn.Done():
		return d.line.conn.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// audience is what a token is put for.
func audience(host string, id iot.Identity) string { return host + nodeOf(id, "") }

// nodeOf is the address of an identity's node.
func nodeOf(id iot.Identity, suffix string) string {
	a := "/devices/" + topic.Escape(id.Device)
	if id.IsModule() {
		a += "/modules/" + topic.Escape(id.Module)
	}
	return a + suffix
}

// attach returns the links, which are attached if there are none.
func (d *tokenDesk) attach(ctx context.Context) (*claimLinks, error) {
	d.attaching.Lock()
	defer d.attaching.Unlock()
	d.mu.Lock()
	links := d.links
	d.mu.Unlock()
	if links != nil {
		return links, nil
	}
	if d.lane == nil {
		a, err := d.line.lane(ctx)
		if err != nil {
			return nil, err
		}
		d.lane = a
	}
	links = &claimLinks{}
	if err := d.attachLinks(ctx, links); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !links.closed {
		d.links = links
	}
	return links, nil
}

func (d *tokenDesk) attachLinks(ctx context.Context, links *claimLinks) (err error) {
	onClose := func(err error) { d.closed(links, err) }
	links.receiver, err = d.lane.amqp.AttachReceiver(ctx, amqp10.ReceiverConfig{
		Name: "cbs-receiver-" + rand.Text(), Source: &amqp10.Source{Address: cbsNode}, Target: &amqp10.Target{Address: "cbs"},
		Window: cbsWindow, OnDelivery: d.answered, OnClose: onClose,
	})
	if err != nil {
		return err
	}
	links.sender, err = d.lane.amqp.AttachSender(ctx, amqp10.SenderConfig{
		Name: "cbs-sender-" + rand.Text(), Source: &amqp10.Source{Address: "cbs"}, Target: &amqp10.Target{Address: cbsNode},
		OnClose: onClose,
	})
	if err != nil {
		links.receiver.CloseWith(nil)
	}
	return err
}

// closed is the OnClose of either link: what waits for an answer fails, and the
// next token is put on new links.
func (d *tokenDesk) closed(links *claimLinks, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	links.closed = true
	if d.links != links {
		return
	}
	d.links = nil
	links.sender.CloseWith(nil)
	links.receiver.CloseWith(nil)
	for id, answer := range d.waiting {
		answer <- iot.Errorf(iot.Unavailable, "put-token", iot.Identity{}, "the hub closed the link to %s: %v", cbsNode, err)
		delete(d.waiting, id)
	}
}

func (d *tokenDesk) expect(request string, answer chan error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waiting == nil {
		d.waiting = make(map[string]chan error)
	}
	d.waiting[request] = answer
}

func (d *tokenDesk) forget(request string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.waiting, request)
}

// answered takes an answer to whoever waits for it.
func (d *tokenDesk) answered(in *amqp10.Delivery) {
	in.Accept()
	d.line.answered()
	msg, err := in.Message()
	if err != nil || msg.Properties == nil {
		return
	}
	request := amqpmsg.Correlation(msg.Properties.CorrelationID)
	d.mu.Lock()
	answer := d.waiting[request]
	delete(d.waiting, request)
	d.mu.Unlock()
	if answer != nil {
		answer <- judgement(msg)
	}
}

// judgement reads an answer: 200 and 202 are good.
func judgement(msg *amqp10.Message) error {
	v, _ := msg.ApplicationProperties.Get("status-code")
	status, ok := amqpmsg.Integer(v)
	if !ok {
		return iot.Errorf(iot.Unavailable, "put-token", iot.Identity{}, "the answer has no status-code")
	}
	if status >= 200 && status < 300 {
		return nil
	}
	return iot.Errorf(iot.KindFromHTTP(status), "put-token", iot.Identity{}, "status %d, %.300s",
		status, msg.ApplicationProperties.Text("status-description"))
}
