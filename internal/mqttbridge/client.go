package mqttbridge

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"sluice/mqtt"
	"sluice/translator"
)

// outside is another's broker, of which the bridge is a client with a persistent
// session: what was published while the bridge was away, and what it has not
// acknowledged, the broker keeps for it.
type outside struct {
	of  *Bridge
	tls *tls.Config

	mu   sync.Mutex
	now  *connection   // nil while there is none
	kick chan struct{} // of capacity 1: connect anew
}

// maxWaiting and maxWaitingBytes are how much of another's broker may wait for the
// gateway. Most brokers send no more than a few dozen before they are acknowledged.
// To one that does, the bridge does not listen any more when it has so much, and
// comes back when that is gone: what it did not acknowledge is then sent again.
const (
	maxWaiting      = 4096
	maxWaitingBytes = 16 << 20
)

// quality is that of everything between bridge and broker.
const quality = 1

func newClient(b *Bridge) (*outside, error) {
	o := &outside{of: b, kick: make(chan struct{}, 1)}
	if b.cfg.ClientID == "" {
		b.cfg.ClientID = "sluice-mqtt-bridge"
	}
	if b.cfg.CA != "" {
		pem, err := os.ReadFile(b.cfg.CA)
		if err != nil {
			return nil, err
		}
		o.tls = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
		if !o.tls.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca: %s has no certificate in PEM", b.cfg.CA)
		}
	}
	return o, nil
}

// connection is one connection to the broker. Its source is what the broker sent
// and the gateway does not have.
type connection struct {
	of      *outside
	client  paho.Client
	log     *slog.Logger
	source  source
	waiting chan paho.Message // to be acknowledged
	sent    chan sending      // to be acknowledged by the broker
	lost    chan error        // of capacity 1
	acked   chan struct{}     // of capacity 1

	deaf        atomic.Bool  // too much has come
	outstanding atomic.Int64 // what has come and was not acknowledged
}

// sending is a publication to the broker.
type sending struct {
	token paho.Token
	done  func(error)
}

// run implements field: it connects, and again when that ends.
func (o *outside) run(ctx context.Context) error {
	for attempt := 0; ; attempt++ {
		began := time.Now()
		err := o.serve(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(began) > time.Minute {
			attempt = 0
		}
		wait := min(250*time.Millisecond<<min(attempt, 10), 30*time.Second)
		if errors.Is(err, errMapping) || errors.Is(err, errFull) {
			continue
		}
		o.of.log.Warn("no connection to the broker", "broker", o.of.cfg.Broker, "error", err, "again", wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
	}
}

var (
	errMapping = errors.New("the topics changed")
	errFull    = errors.New("more had come than may wait for the gateway")
)

// dialTime is how long connecting and subscribing may take.
const dialTime = 30 * time.Second

// serve connects once, and returns why the connection ended. Nothing that arrived
// over it is left then.
func (o *outside) serve(ctx context.Context) error {
	c := &connection{
		of: o, log: o.of.log, lost: make(chan error, 1), acked: make(chan struct{}, 1),
		waiting: make(chan paho.Message, 2*maxWaiting), sent: make(chan sending, maxQueue),
	}
	c.client = paho.NewClient(c.options())
	defer c.client.Disconnect(100)
	if err := c.begin(ctx); err != nil {
		return err
	}
	stop := make(chan struct{})
	var parts sync.WaitGroup
	parts.Go(func() { c.acknowledge(stop) })
	parts.Go(func() { c.confirm(stop) })
	o.use(c)
	var err error
	select {
	case err = <-c.lost:
	case <-o.kick:
		err = errMapping
	case <-ctx.Done():
		o.wait(c)
	}
	o.use(nil)
	o.of.in.drop(&c.source)
	close(stop)
	parts.Wait()
	return err
}

// wait gives the gateway a moment to take what has arrived, as the translator does.
func (o *outside) wait(c *connection) {
	late := time.After(time.Second)
	for c.outstanding.Load() > 0 {
		select {
		case <-c.acked:
		case <-c.lost:
			return
		case <-late:
			return
		}
	}
}

func (o *outside) use(c *connection) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.now = c
}

func (c *connection) options() *paho.ClientOptions {
	cfg := c.of.of.cfg
	o := paho.NewClientOptions().AddBroker(cfg.Broker).SetClientID(cfg.ClientID).SetTLSConfig(c.of.tls)
	o.SetUsername(cfg.Username).SetPassword(cfg.Password)
	o.SetCleanSession(false).SetAutoAckDisabled(true).SetOrderMatters(true)
	o.SetAutoReconnect(false).SetConnectRetry(false).SetConnectTimeout(dialTime).SetKeepAlive(30 * time.Second)
	o.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { c.arrived(m) })
	o.SetConnectionLostHandler(func(_ paho.Client, err error) { c.end(err) })
	return o
}

func (c *connection) end(err error) {
	select {
	case c.lost <- err:
	default:
	}
}

// begin connects and subscribes.
func (c *connection) begin(ctx context.Context) error {
	if err := wait(ctx, c.client.Connect()); err != nil {
		return err
	}
	filters := make(map[string]byte)
	for _, p := range c.of.of.mapping.Load().up() {
		filters[p.filter()] = quality
	}
	token := c.client.SubscribeMultiple(filters, nil)
	if err := wait(ctx, token); err != nil {
		return err
	}
	for filter, granted := range token.(*paho.SubscribeToken).Result() {
		if granted > quality {
			return fmt.Errorf("the broker refuses the subscription to %s", filter)
		}
	}
	c.log.Info("connected to the broker", "broker", c.of.of.cfg.Broker, "subscriptions", len(filters))
	return nil
}

// wait waits for the broker's answer.
func wait(ctx context.Context, t paho.Token) error {
	select {
	case <-t.Done():
		return t.Error()
	case <-time.After(dialTime):
		return errors.New("no answer")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// arrived takes a publication from the broker. It must not block, or the
// connection would seem dead.
func (c *connection) arrived(m paho.Message) {
	b := c.of.of
	full := b.in.holds(maxWaiting, maxWaitingBytes)
	switch {
	case m.Qos() == 0 && (full || c.deaf.Load()):
		b.Stats.Dropped.Add(1)
		return
	case c.deaf.Load():
		return
	case full:
		c.deaf.Store(true) // before it is looked whether anything is outstanding
		c.comeBack()
		return
	}
	p := &publication{topic: m.Topic(), payload: m.Payload(), qos: mqtt.QoS(m.Qos()), ack: func(error) {}}
	if m.Qos() > 0 {
		c.outstanding.Add(1)
		p.ack = func(err error) { c.settled(m, err) }
	}
	b.in.push(&c.source, p)
}

// comeBack ends a connection that does not listen, when all that it took was
// acknowledged.
func (c *connection) comeBack() {
	if c.deaf.Load() && c.outstanding.Load() == 0 {
		c.end(errFull)
	}
}

// settled has a publication acknowledged, or, because it cannot be, everything
// after it come again. At the end of the bridge there is nothing to come any more.
func (c *connection) settled(m paho.Message, err error) {
	if errors.Is(err, errStopped) || errors.Is(err, translator.ErrClosed) {
		c.settledOne()
		return
	}
	if err != nil {
		c.end(err)
		return
	}
	select {
	case c.waiting <- m:
	default: // it comes again
		c.end(errors.New("the broker does not take acknowledgements"))
	}
}

// acknowledge sends acknowledgements, which may wait for the network.
func (c *connection) acknowledge(stop <-chan struct{}) {
	for {
		select {
		case m := <-c.waiting:
			m.Ack()
			c.settledOne()
			c.comeBack()
		case <-stop:
			return
		}
	}
}

// settledOne counts a publication that is not outstanding any more.
func (c *connection) settledOne() {
	c.outstanding.Add(-1)
	select {
	case c.acked <- struct{}{}:
	default:
	}
}

// deliver implements field. What the broker has it will hand over.
func (o *outside) deliver(d delivery, done func(error)) {
	o.mu.Lock()
	c := o.now
	o.mu.Unlock()
	if c == nil {
		done(errors.New("the broker is not there"))
		return
	}
	out := sending{c.client.Publish(d.topic, quality, d.retain, d.payload), done}
	select {
	case c.sent <- out:
	default:
		done(errors.New("the broker is too slow"))
	}
}

// confirm waits for the broker to take what was published.
func (c *connection) confirm(stop <-chan struct{}) {
	left := errors.New("the connection to the broker was lost")
	for {
		select {
		case out := <-c.sent:
			select {
			case <-out.token.Done():
				out.done(out.token.Error())
			case <-stop:
				out.done(left)
			}
		case <-stop:
			return // what was published at this moment counts as not taken
		}
	}
}

// can implements field: who listens at another's broker is not known.
func (o *outside) can(string) translator.Capabilities {
	down := o.of.mapping.Load().down
	return translator.Capabilities{Methods: down[method] != nil, Desired: down[desired] != nil, Commands: down[command] != nil}
}

// remapped implements field: other topics are subscribed to by connecting anew.
func (o *outside) remapped() {
	select {
	case o.kick <- struct{}{}:
	default:
	}
	o.of.in.greetings(o.of.ids()...)
}
