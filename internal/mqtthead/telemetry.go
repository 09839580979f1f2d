package mqtthead

import (
	"bytes"
	"errors"
	"slices"
	"sync"

	"sluice/internal/topic"
	"sluice/iot"
	"sluice/mqtt"
)

// Publish implements [mqtt.Session]. Telemetry that arrived together goes to the
// hub together.
func (s *session) Publish(batch []mqtt.Publish) {
	events := collection{messages: make([]iot.Message, 0, len(batch))}
	for i := range batch {
		p := &batch[i]
		if i > 0 && p.Topic == batch[i-1].Topic && events.repeat(p) {
			continue
		}
		if err := s.operation(p, &events); err != nil {
			events.send(s.hub)
			p.Ack(err) // the connection ends: the rest is not looked at
			return
		}
	}
	events.send(s.hub)
}

// operation serves one publication, or adds it to the events that are to be sent.
func (s *session) operation(p *mqtt.Publish, events *collection) error {
	op, err := parseTopic(s.id, p.Topic)
	if err != nil {
		return err
	}
	switch op.kind {
	case telemetry:
		return events.add(s.id, p, op.bag)
	case methodAnswer:
		s.answerMethod(op, p.Payload)
		p.Ack(nil)
	default:
		s.requestTwin(op, p)
	}
	return nil
}

// collection is telemetry on its way to the hub.
type collection struct {
	messages []iot.Message
	acks     *[]mqtt.Publish
}

// ackLists are the publications that wait for the hub.
var ackLists = sync.Pool{New: func() any { return new([]mqtt.Publish) }}

// add adds a publication to be acknowledged when the hub has it.
func (c *collection) add(id iot.Identity, p *mqtt.Publish, bag string) error {
	m, err := event(id, &p.Message, bag)
	if err != nil {
		return err
	}
	c.append(p, m)
	return nil
}

// repeat adds a publication to the topic of the one before, if that is the last
// of the collection: most devices send all with the same properties.
func (c *collection) repeat(p *mqtt.Publish) bool {
	if c.acks == nil {
		return false
	}
	last, before := &c.messages[len(c.messages)-1], &(*c.acks)[len(*c.acks)-1]
	if before.Topic != p.Topic || before.Retain || p.Retain {
		return false
	}
	m := iot.Message{System: slices.Clone(last.System), Properties: slices.Clone(last.Properties), Body: p.Payload}
	if m.Size() > iot.MaxMessageSize {
		return false
	}
	c.append(p, m)
	return true
}

func (c *collection) append(p *mqtt.Publish, m iot.Message) {
	if c.acks == nil {
		c.acks = ackLists.Get().(*[]mqtt.Publish)
	}
	*c.acks = append(*c.acks, *p)
	c.messages = append(c.messages, m)
}

// send hands the events to the hub, and acknowledges them when they are safe. An
// error acknowledges none of them and ends the connection.
func (c *collection) send(hub iot.Session) {
	if c.acks == nil {
		return
	}
	acks := c.acks
	hub.Send(c.messages, func(err error) {
		for i := range *acks {
			(*acks)[i].Ack(err)
		}
		clear(*acks)
		*acks = (*acks)[:0]
		ackLists.Put(acks)
	})
}

// event is a publication as the hub gets it. It takes the payload over.
func event(id iot.Identity, p *mqtt.Message, bag string) (iot.Message, error) {
	m := iot.Message{Body: p.Payload}
	if err := topic.ParseBag(bag, &m); err != nil {
		return m, err
	}
	if n := m.Size(); n > iot.MaxMessageSize {
		return m, iot.Errorf(iot.TooLarge, "publish", id, "message of %d bytes, at most %d", n, iot.MaxMessageSize)
	}
	if p.Retain {
		m.Properties.Set("mqtt-retain", "true")
	}
	return m, nil
}

// checkWill reports why a will may not be published by id. A will is telemetry.
func checkWill(id iot.Identity, will *mqtt.Message) error {
	if will == nil {
		return nil
	}
	_, err := willEvent(id, will)
	return err
}

func willEvent(id iot.Identity, will *mqtt.Message) (iot.Message, error) {
	if will.QoS > mqtt.AtLeastOnce {
		return iot.Message{}, iot.Errorf(iot.Invalid, "will", id, "QoS 2 is not offered")
	}
	op, err := parseTopic(id, will.Topic)
	if err != nil {
		return iot.Message{}, err
	}
	if op.kind != telemetry {
		return iot.Message{}, iot.Errorf(iot.Forbidden, "will", id, "%.200q is not a topic for telemetry", will.Topic)
	}
	m, err := event(id, will, op.bag)
	if err != nil {
		return m, err
	}
	m.Properties.Set("iothub-MessageType", "Will")
	return m, nil
}

// publishWill sends a will. It is judged again: the session may have lost its
// right since CONNECT, and then the hub refuses it. Where another connection has
// taken over, it goes through that one.
func (s *session) publishWill(will *mqtt.Message) {
	m, err := willEvent(s.id, will)
	if err != nil { // not after CONNECT
		s.willRefused(err)
		return
	}
	m.Body = bytes.Clone(m.Body) // it may have to be sent again
	s.hub.Send([]iot.Message{m}, func(err error) {
		if errors.Is(err, iot.ErrTakenOver) {
			heir, ok := s.head.places.bequeath(s, will)
			if ok && heir != nil {
				heir.publishWill(will)
			}
			if ok {
				return
			}
		}
		if err != nil {
			s.willRefused(err)
		}
	})
}

func (s *session) willRefused(err error) {
	s.head.log.Warn("mqtthead: will not published", "identity", s.id.String(), "err", err)
}
