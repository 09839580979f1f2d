package mqtthead

import (
	"container/list"
	"context"
	"sync"

	"sluice/iot"
	"sluice/mqtt"
)

// kind is one of the filters that a client may subscribe to. Their numbers are
// stored; see [Subscriptions].
type kind uint8

const (
	commands kind = iota
	inputs
	allOfModule // another filter for the inputs
	methods
	twinAnswers
	desiredChanges
	kinds
)

// String is for logs.
func (k kind) String() string {
	return [...]string{"commands", "inputs", "all of module", "methods", "twin answers", "desired changes"}[k]
}

// Subscriptions are the filters that a client has subscribed to and the QoS of
// each, in two bits per filter: subscribed, and at QoS 1. It is stored as the
// number that it is, which means the same in later versions.
type Subscriptions uint16

// qos returns the granted level of a filter, or Refused if the client has not
// subscribed to it.
func (s Subscriptions) qos(k kind) mqtt.QoS {
	switch s >> (2 * k) & 3 {
	case 1:
		return mqtt.AtMostOnce
	case 3:
		return mqtt.AtLeastOnce
	}
	return mqtt.Refused
}

// deliveries returns the level at which commands or inputs are delivered: that
// of the filter with the highest [MQTT-3.3.5-1].
func (s Subscriptions) deliveries() mqtt.QoS {
	level := mqtt.Refused
	for _, k := range [...]kind{commands, inputs, allOfModule} {
		if q := s.qos(k); q != mqtt.Refused && (level == mqtt.Refused || q > level) {
			level = q
		}
	}
	return level
}

func (s Subscriptions) with(k kind, q mqtt.QoS) Subscriptions {
	return s.without(k) | Subscriptions(1|q<<1)<<(2*k)
}

func (s Subscriptions) without(k kind) Subscriptions { return s &^ (3 << (2 * k)) }

// Sessions keeps the subscriptions of clients that connected with clean session
// 0, from one connection to the next. They are kept by identity, never by client
// id: nobody inherits another's. Its methods may be called by any goroutine.
type Sessions interface {
	// Load returns what is kept for id, or 0.
	Load(ctx context.Context, id iot.Identity) (Subscriptions, error)
	// Save keeps s for id, and nothing if s is 0. A SUBACK leaves after Save
	// has returned: what is to survive a power cut must be stored by then.
	Save(ctx context.Context, id iot.Identity, s Subscriptions) error
}

// Memory is a [Sessions] that lasts as long as the process.
type Memory struct {
	limit int

	mu     sync.Mutex
	recent *list.List // of remembered; the first was used last
	byID   map[iot.Identity]*list.Element
}

type remembered struct {
	id            iot.Identity
	subscriptions Subscriptions
}

// NewMemory keeps the subscriptions of at most limit identities; those that were
// not used for longest are forgotten first. An identity that is forgotten while
// it is connected loses nothing until it connects again.
func NewMemory(limit int) *Memory {
	return &Memory{limit: limit, recent: list.New(), byID: make(map[iot.Identity]*list.Element)}
}

// Load implements [Sessions].
func (m *Memory) Load(_ context.Context, id iot.Identity) (Subscriptions, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.byID[id]
	if e == nil {
		return 0, nil
	}
	m.recent.MoveToFront(e)
	return e.Value.(*remembered).subscriptions, nil
}

// Save implements [Sessions].
func (m *Memory) Save(_ context.Context, id iot.Identity, s Subscriptions) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.byID[id]
	switch {
	case s == 0 && e != nil:
		m.forget(e)
	case s == 0:
	case e != nil:
		e.Value.(*remembered).subscriptions = s
		m.recent.MoveToFront(e)
	default:
		m.byID[id] = m.recent.PushFront(&remembered{id, s})
	}
	for m.recent.Len() > m.limit {
		m.forget(m.recent.Back())
	}
	return nil
}

func (m *Memory) forget(e *list.Element) {
	delete(m.byID, e.Value.(*remembered).id)
	m.recent.Remove(e)
}
