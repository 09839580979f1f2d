package mqtt

import (
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"sluice/mqtt/internal/packet"
)

// outbound is what is on its way to the client.
type outbound struct {
	buf     []byte        // not yet written; nil if empty
	written []func(error) // to be called once buf is written: the QoS 0 messages in it
	window  []inFlight    // QoS 1 messages that wait for their PUBACK
	lastID  uint16

	starved bool // Ready is owed
	corked  bool // the reader is serving a flight; its end wakes the writer
	writing bool // there is a writer
}

// inFlight is a QoS 1 message to the client.
type inFlight struct {
	id   uint16
	done func(error)
}

// append appends a packet to the buffer.
func (o *outbound) append(encode func([]byte) []byte) {
	if o.buf == nil {
		o.buf = newBuffer()[:0]
	}
	o.buf = encode(o.buf)
}

// find returns the index in the window of an identifier, or -1.
func (o *outbound) find(id uint16) int {
	return slices.IndexFunc(o.window, func(m inFlight) bool { return m.id == id })
}

// freeID returns an identifier that is not in use. There is one: the window is
// far smaller than their number.
func (o *outbound) freeID() uint16 {
	for {
		o.lastID++
		if o.lastID != 0 && o.find(o.lastID) < 0 { // [MQTT-2.3.1-1] [MQTT-2.3.1-4]
			return o.lastID
		}
	}
}

// abandon empties the whole and returns what is to be told of it.
func (o *outbound) abandon() []func(error) {
	done := o.written
	for _, m := range o.window {
		if m.done != nil {
			done = append(done, m.done)
		}
	}
	releaseBuffer(o.buf)
	*o = outbound{}
	return done
}

func releaseBuffer(b []byte) {
	if cap(b) == bufferSize {
		buffers.Put((*buffer)(b[:bufferSize]))
	}
}

// Publish sends m to the client, or returns ErrFull and has no effect; the
// session's Ready is called when there is room again. It does not block, and
// copies m.
//
// If it returns nil, done, unless nil, is called exactly once, not from within:
// with nil when the client acknowledged the message, or, at QoS 0, when it was
// written to the network; with the reason if the connection ended before. It is
// called by a goroutine of the engine and must not block; it may call Publish.
//
// The packet identifier is returned for messages that are to be sent again when
// the client comes back; it is 0 for QoS 0. Messages of QoS 2 are an error, as is
// a topic that is not valid and an identifier that is in flight.
func (c *Conn) Publish(m Message, done func(error)) (packetID uint16, err error) {
	if m.QoS > AtLeastOnce {
		return 0, errors.New("mqtt: publish with QoS 2 is not offered")
	}
	if !ValidTopic(m.Topic) || !utf8.ValidString(m.Topic) {
		return 0, fmt.Errorf("mqtt: publish to topic %.64q, which is not valid", m.Topic)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closing && c.reason != nil:
		return 0, c.reason
	case c.closing:
		return 0, errDisconnected
	case !c.roomOutbound(m.QoS):
		c.out.starved = true
		return 0, ErrFull
	}
	return c.enqueue(&m, done)
}

var errDisconnected error = closeError("mqtt: client has disconnected")

func (c *Conn) roomOutbound(q QoS) bool {
	l := &c.group.limits
	return c.session != nil && !c.stopping && len(c.out.buf) < l.MaxOutboundBytes &&
		(q == AtMostOnce || len(c.out.window) < l.MaxOutbound)
}

// enqueue appends m to what is written next.
func (c *Conn) enqueue(m *Message, done func(error)) (uint16, error) {
	o := &c.out
	p := packet.Publish{Payload: m.Payload, QoS: byte(m.QoS), Retain: m.Retain}
	if m.QoS > AtMostOnce {
		p.Dup = m.Dup // [MQTT-3.3.1-2]
		p.ID = m.PacketID
		if p.ID == 0 {
			p.ID = o.freeID()
		} else if o.find(p.ID) >= 0 {
			return 0, fmt.Errorf("mqtt: publish with packet identifier %d, which is in flight", p.ID)
		}
	}
	var err error
	o.append(func(b []byte) []byte {
		b, err = packet.AppendPublish(b, &p, m.Topic)
		return b
	})
	if err != nil {
		return 0, err
	}
	switch {
	case m.QoS > AtMostOnce:
		o.window = append(o.window, inFlight{p.ID, done})
	case done != nil:
		o.written = append(o.written, done)
	}
	c.group.server.Stats.PublishOut.Add(1)
	c.wakeWriter()
	return p.ID, nil
}

// receivePuback settles a message in flight. One that is not known is ignored: it
// may belong to a message of an earlier connection.
func (c *Conn) receivePuback(body []byte) error {
	id, err := packet.DecodeID(body)
	if err != nil {
		return err
	}
	c.mu.Lock()
	i := c.out.find(id)
	if i < 0 {
		c.mu.Unlock()
		return nil
	}
	done := c.out.window[i].done
	c.out.window = slices.Delete(c.out.window, i, i+1)
	if len(c.out.window) == 0 {
		c.out.window = nil
	}
	c.out.corked = true // several may come; Ready is called after the last
	c.mu.Unlock()
	if done != nil {
		done(nil)
	}
	return nil
}
