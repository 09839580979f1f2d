package amqphead

import (
	"slices"

	"sluice/amqp10"
	"sluice/iot"
)

// A link is one link of a member.
type link struct {
	member  *member
	node    node
	role    amqp10.Role // ours
	channel string      // com.microsoft:channel-correlation-id, of a pair of links

	// release lets go of what the link has at the hub, once. It belongs to the
	// identity's turns.
	release func()

	// Guarded by conn.mu.
	end     ending // nil until it is attached
	closing *amqp10.Error
}

// An ending is either end of a link.
type ending interface {
	CloseWith(*amqp10.Error)
	Err() error
}

// open accepts a link, or returns why not. It is the identity's turn.
func (m *member) open(r *amqp10.LinkRequest, n node) error {
	l := &link{member: m, node: n, role: r.Role, channel: r.Properties.Text("com.microsoft:channel-correlation-id")}
	if err := m.reserve(l); err != nil {
		return err
	}
	err := l.accept(r)
	if err != nil {
		m.remove(l)
	}
	return err
}

func (l *link) accept(r *amqp10.LinkRequest) error {
	m := l.member
	if l.role == amqp10.RoleSender {
		m.displace(l)
		return l.acceptSender(r)
	}
	switch l.node {
	case events:
		l.attached(m.acceptTelemetry(r, l))
	case methods:
		l.attached(m.acceptAnswers(r, l))
	case twins:
		l.attached(m.acceptTwinRequests(r, l))
	default:
		return iot.Errorf(iot.NotFound, "attach", m.id, "nothing can be sent to %v", l.node)
	}
	return nil
}

func (l *link) acceptSender(r *amqp10.LinkRequest) error {
	m := l.member
	switch {
	case l.node == commands && !m.id.IsModule():
		return m.acceptFlow(r, l, m.hub.Commands)
	case l.node == events && m.id.IsModule():
		return m.acceptFlow(r, l, m.hub.Inputs)
	case l.node == methods:
		return m.acceptCalls(r, l)
	case l.node == twins:
		return m.acceptTwinAnswers(r, l)
	}
	return iot.Errorf(iot.NotFound, "attach", m.id, "nothing comes from %v", l.node)
}

// reserve counts a link that is about to be attached.
func (m *member) reserve(l *link) error {
	c := m.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.over != nil {
		return m.over
	}
	if len(m.links) >= linksPerIdentity {
		return iot.Errorf(iot.Throttled, "attach", m.id, "it has %d links", len(m.links))
	}
	m.links = append(m.links, l)
	return nil
}

func (m *member) remove(l *link) {
	c := m.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	m.links = slices.DeleteFunc(m.links, func(other *link) bool { return other == l })
}

// displace closes the links of the same kind: what the hub has for the identity is
// sent once.
func (m *member) displace(by *link) {
	c := m.conn
	c.mu.Lock()
	var older []*link
	for _, l := range m.links {
		if l != by && l.role == by.role && l.node == by.node {
			older = append(older, l)
		}
	}
	c.mu.Unlock()
	for _, l := range older {
		l.close(amqp10.Errorf(amqp10.ErrStolen, "another link was attached to %v", by.node))
		l.finish()
	}
}

// attached says that the link is there.
func (l *link) attached(end ending) {
	c := l.member.conn
	c.mu.Lock()
	l.end = end
	l.member.waits = false
	closing := l.closing
	c.mu.Unlock()
	if closing != nil {
		end.CloseWith(closing)
	}
	if err := end.Err(); err != nil {
		l.closed(err) // also if it has never been there, and OnClose is not called
	}
}

// close closes the link at our end, perhaps as soon as it is attached.
func (l *link) close(why *amqp10.Error) {
	c := l.member.conn
	c.mu.Lock()
	l.closing = why
	end := l.end
	c.mu.Unlock()
	if end != nil {
		end.CloseWith(why)
	}
}

// closed is the OnClose of every link.
func (l *link) closed(error) {
	m := l.member
	c := m.conn
	c.order.push(m.id, func() {
		l.finish()
		m.remove(l)
		c.leaveIfIdle(m.id)
	})
}

// finish lets go of what the link has at the hub.
func (l *link) finish() {
	if l.release != nil {
		l.release()
		l.release = nil
	}
}
