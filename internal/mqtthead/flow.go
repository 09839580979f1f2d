package mqtthead

import (
	"sync"

	"sluice/iot"
	"sluice/mqtt"
)

// A flow is the deliveries to one client: a device's commands, or a module's
// inputs. The hub is granted as many as the client has room for, so that what
// the client does not take stays with the hub.
type flow struct {
	session *session
	sub     iot.Subscription // set before the first grant

	mu          sync.Mutex
	outstanding int // granted and not settled
	largest     int // bytes of the largest delivery so far
}

const (
	// maxWindow is how many deliveries may be on their way to one client. It
	// is the engine's window; a wider one would only wait here.
	maxWindow = 16
	// windowBytes is what they may come to, as far as can be known before.
	windowBytes = 1 << 20
	// minWindow holds windowBytes of the largest messages there are.
	minWindow = windowBytes / iot.MaxMessageSize
)

// refill grants what the window has room for.
func (f *flow) refill() {
	f.mu.Lock()
	window := minWindow
	if f.largest > 0 {
		window = min(max(windowBytes/f.largest, minWindow), maxWindow)
	}
	n := window - f.outstanding
	if n > 0 {
		f.outstanding += n
	}
	f.mu.Unlock()
	if n > 0 {
		f.sub.Grant(n)
	}
}

// deliver passes a delivery on to the client.
func (f *flow) deliver(d iot.Delivery) {
	s := f.session
	m := mqtt.Message{
		Topic:   deliveryTopic(s.id, &d.Message),
		Payload: d.Message.Body,
		QoS:     s.subscriptions().deliveries(),
		Dup:     d.Repeat, // [MQTT-3.3.1-1]
	}
	f.mu.Lock()
	f.largest = max(f.largest, size(&m))
	f.mu.Unlock()
	if m.QoS == mqtt.Refused {
		return // unsubscribed just now: Close abandons it
	}
	if len(m.Topic) > maxTopic {
		f.settle(d.LockToken, iot.Reject)
		return
	}
	token := d.LockToken
	s.out.publish(m, func(err error) {
		if err == nil {
			f.settle(token, iot.Complete)
		}
		// Else the connection has ended, and with it the session, which
		// abandons what is not settled.
	})
}

// maxTopic is the longest topic of MQTT, in bytes. A message whose properties do
// not fit can never be delivered by this protocol.
const maxTopic = 65535

// settle tells the hub what became of a delivery, and makes room for another.
func (f *flow) settle(token string, outcome iot.Outcome) {
	s := f.session
	s.settles.push(func() {
		ctx, cancel := s.operate(s.settling)
		defer cancel()
		if err := s.hub.Settle(ctx, token, outcome); err != nil {
			s.head.log.Info("mqtthead: delivery not settled; it may come again", "identity", s.id.String(), "err", err)
		}
		if s.life.Err() != nil {
			return
		}
		f.mu.Lock()
		f.outstanding--
		f.mu.Unlock()
		f.refill()
	})
}
