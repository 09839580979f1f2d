package mqtthead

import (
	"encoding/json"

	"sluice/iot"
	"sluice/mqtt"
)

// Subscribe implements [mqtt.Session]. What is granted is stored before the
// client learns of it.
func (s *session) Subscribe(filters []mqtt.Filter) ([]mqtt.QoS, error) {
	granted := make([]mqtt.QoS, len(filters))
	for i, f := range filters {
		granted[i] = mqtt.Refused
		if k, ok := parseFilter(s.id, f.Topic); ok {
			var err error
			if granted[i], err = s.grant(k, f.QoS); err != nil {
				return nil, err
			}
		}
	}
	return granted, s.store()
}

// grant subscribes the client to a filter, or refuses it if the hub says that the
// client may not have it. An error is that the hub cannot say.
func (s *session) grant(k kind, q mqtt.QoS) (mqtt.QoS, error) {
	err := s.subscribe(k, q)
	if err == nil {
		return q, nil
	}
	switch iot.KindOf(err) {
	case iot.Forbidden, iot.Invalid, iot.NotFound:
		s.head.log.Info("mqtthead: subscription refused", "identity", s.id.String(), "filter", k.String(), "err", err)
		return mqtt.Refused, nil
	}
	return mqtt.Refused, err
}

// Unsubscribe implements [mqtt.Session].
func (s *session) Unsubscribe(filters []string) error {
	for _, f := range filters {
		if k, ok := parseFilter(s.id, f); ok {
			s.unsubscribe(k)
		}
	}
	return s.store()
}

func (s *session) store() error {
	if !s.keep {
		return nil
	}
	ctx, cancel := s.operate(s.life)
	defer cancel()
	return s.failed("keep subscriptions", s.head.opt.Sessions.Save(ctx, s.id, s.subscriptions()))
}

// subscribe asks the hub for what a filter covers, unless that was done. A filter
// that is there already only changes its level [MQTT-3.8.4-3].
func (s *session) subscribe(k kind, q mqtt.QoS) (err error) {
	switch k {
	case commands:
		err = s.openFlow(s.hub.Commands)
	case inputs, allOfModule:
		err = s.openFlow(s.hub.Inputs)
	case methods:
		err = s.openMethods()
	case desiredChanges:
		if s.desired == nil {
			s.desired, err = s.hub.DesiredChanges(s.desiredChanged)
		}
	}
	if err != nil {
		return err
	}
	s.setSubscriptions(s.subscriptions().with(k, q))
	if s.flow != nil {
		s.flow.refill() // not before the level is known
	}
	return nil
}

func (s *session) openFlow(ask func(func(iot.Delivery)) (iot.Subscription, error)) error {
	if s.flow != nil {
		return nil
	}
	f := &flow{session: s}
	sub, err := ask(f.deliver)
	if err != nil {
		return err
	}
	f.sub = sub
	s.flow = f
	return nil
}

func (s *session) openMethods() error {
	if s.methods != nil {
		return nil
	}
	desk := &methodDesk{session: s}
	sub, err := s.hub.Methods(desk.invoke)
	if err != nil {
		return err
	}
	desk.sub = sub
	s.methods = desk
	return nil
}

// unsubscribe ends the hub's interest when no filter needs it any more.
func (s *session) unsubscribe(k kind) {
	subs := s.subscriptions().without(k)
	s.setSubscriptions(subs)
	if s.flow != nil && subs.deliveries() == mqtt.Refused {
		s.flow.sub.Close()
		s.flow = nil
	}
	if s.methods != nil && subs.qos(methods) == mqtt.Refused {
		s.methods.sub.Close()
		s.methods.calls.Close()
		s.methods = nil
	}
	if s.desired != nil && subs.qos(desiredChanges) == mqtt.Refused {
		s.desired.Close()
		s.desired = nil
	}
}

// desiredChanged passes a patch on. Patches may not be left out, so a client that
// does not take them loses its connection: it reads the whole twin when it is
// back.
func (s *session) desiredChanged(patch json.RawMessage) {
	if s.out.waiting() > crowd {
		s.conn.Close(iot.Errorf(iot.Throttled, "desired changes", s.id, "the client does not read"))
		return
	}
	var v struct {
		Version int64 `json:"$version"`
	}
	if err := json.Unmarshal(patch, &v); err != nil {
		s.head.log.Error("mqtthead: desired change is not JSON", "identity", s.id.String(), "err", err)
		return
	}
	s.notify(desiredChanges, desiredTopic(v.Version), patch)
}

// notify publishes what one of the client's subscriptions is for, if it has that.
// A client that asks and does not read the answers loses its connection.
func (s *session) notify(k kind, topic string, payload []byte) {
	q := s.subscriptions().qos(k)
	if q == mqtt.Refused {
		return
	}
	s.out.publish(mqtt.Message{Topic: topic, Payload: payload, QoS: q}, nil)
	if s.out.waiting() > 2*crowd {
		s.conn.Close(iot.Errorf(iot.Throttled, "publish", s.id, "the client does not read"))
	}
}
