package mqttlink

import (
	"context"
	"slices"
	"strings"

	paho "github.com/eclipse/paho.mqtt.golang"

	"sluice/iot"
)

// A filter is a subscription.
type filter struct {
	topic string
	qos   byte
}

// What is subscribed to, beside a device's commands. Answers and calls that were
// lost with a connection are of no use on the next, so they come at QoS 0.
var (
	twinAnswers    = filter{"$iothub/twin/res/#", 0}
	desiredChanges = filter{"$iothub/twin/PATCH/properties/desired/#", 0}
	methodCalls    = filter{"$iothub/methods/POST/#", 0}
)

// refusedFilter is what SUBACK says of a filter that is not granted.
const refusedFilter = 0x80

// subscribe subscribes, unless the session has already.
func (s *session) subscribe(ctx context.Context, op string, f filter) error {
	s.using.Lock()
	defer s.using.Unlock()
	s.mu.Lock()
	conn, err := s.conn, s.reason
	known := slices.Contains(s.filters, f)
	s.mu.Unlock()
	if err != nil || known {
		return err
	}
	if err := s.subscribeOn(ctx, op, conn, f); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.filters = append(s.filters, f)
	return s.reason
}

func (s *session) subscribeOn(ctx context.Context, op string, conn *connection, f filter) error {
	token := conn.Subscribe(f.topic, f.qos, nil)
	if err := s.wait(ctx, op, token); err != nil {
		return err
	}
	granted := token.(*paho.SubscribeToken).Result()
	if granted[f.topic] >= refusedFilter {
		return iot.Errorf(iot.Forbidden, op, s.id, "the hub refuses the subscription to %s", f.topic)
	}
	return nil
}

// unsubscribe unsubscribes, without waiting for the hub, unless somebody is interested
// again by the time that it comes to that. wanted is asked with mu held.
func (s *session) unsubscribe(f filter, wanted func() bool) {
	s.background(func(conn *connection) {
		s.using.Lock() // no subscription comes between
		defer s.using.Unlock()
		s.mu.Lock()
		at := slices.Index(s.filters, f)
		end := at >= 0 && !wanted()
		if end {
			s.filters = slices.Delete(s.filters, at, at+1)
		}
		s.mu.Unlock()
		if end {
			conn.Unsubscribe(f.topic)
		}
	})
}

// arrived takes what the hub publishes. It runs in the connection's reader.
func (s *session) arrived(m paho.Message) {
	t := m.Topic()
	switch {
	case strings.HasPrefix(t, commandPrefix(s.id)):
		s.commanded(m)
		return // settled later
	case strings.HasPrefix(t, "$iothub/twin/res/"):
		s.answered(strings.TrimPrefix(t, "$iothub/twin/res/"), m.Payload())
	case strings.HasPrefix(t, "$iothub/twin/PATCH/properties/desired/"):
		s.desiredChanged(m.Payload())
	case strings.HasPrefix(t, "$iothub/methods/POST/"):
		s.called(strings.TrimPrefix(t, "$iothub/methods/POST/"), m.Payload())
	}
	s.background(func(*connection) { m.Ack() })
}

// operate bounds an exchange with the hub.
func (s *session) operate(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.cfg.OperationTimeout)
}

// An interest is a subscription whose deliveries are not counted.
type interest struct{ end func() }

// Grant does nothing.
func (*interest) Grant(int) {}

// Revoke does nothing.
func (*interest) Revoke() int { return 0 }

// Close ends the interest.
func (i *interest) Close() { i.end() }
