package mqtt

import (
	"os"
	"sync"
	"time"

	"sluice/mqtt/internal/packet"
)

// inbound is the publications that the session has and has not settled, in order
// of arrival: those from head up to tail.
type inbound struct {
	ring       []pending // its length is a power of two
	head, tail uint64
	bytes      int
}

// pending is one publication.
type pending struct {
	size    int32
	id      uint16 // 0 for QoS 0
	settled bool
}

func (in *inbound) at(seq uint64) *pending { return &in.ring[seq&uint64(len(in.ring)-1)] }

func (in *inbound) len() int { return int(in.tail - in.head) }

// push adds a publication and returns its number.
func (in *inbound) push(p pending) uint64 {
	if in.len() == len(in.ring) {
		in.grow()
	}
	seq := in.tail
	in.tail++
	in.bytes += int(p.size)
	*in.at(seq) = p
	return seq
}

func (in *inbound) grow() {
	old := *in
	in.ring = make([]pending, max(8, 2*len(old.ring)))
	for seq := in.head; seq < in.tail; seq++ {
		*in.at(seq) = *old.at(seq)
	}
}

// settle marks a publication, once, and reports whether it did.
func (in *inbound) settle(seq uint64) bool {
	if seq < in.head || seq >= in.tail || in.at(seq).settled {
		return false
	}
	in.at(seq).settled = true
	return true
}

// pop removes the first publication if it is settled.
func (in *inbound) pop() (pending, bool) {
	if in.head == in.tail || !in.at(in.head).settled {
		return pending{}, false
	}
	p := *in.at(in.head)
	in.head++
	in.bytes -= int(p.size)
	if in.head == in.tail && len(in.ring) > 32 {
		in.ring = nil // an idle connection keeps little
	}
	return p, true
}

// holds reports whether a packet identifier is in use.
func (in *inbound) holds(id uint16) bool {
	for seq := in.head; seq < in.tail; seq++ {
		if in.at(seq).id == id {
			return true
		}
	}
	return false
}

// batches are the slices given to Session.Publish.
var batches = sync.Pool{New: func() any { return new([64]Publish) }}

// receivePublish takes one PUBLISH into the batch.
func (c *Conn) receivePublish(flags byte, body []byte) error {
	p, err := packet.DecodePublish(flags, body, c.lastTopic)
	if err != nil {
		return err
	}
	if p.QoS > 1 {
		return packet.Errorf("", "PUBLISH with QoS 2 is not offered")
	}
	if len(p.Payload) > c.group.limits.MaxPayload {
		return packet.Errorf("", "payload of %d bytes, at most %d", len(p.Payload), c.group.limits.MaxPayload)
	}
	if len(p.Topic) == 0 || string(p.Topic) != c.lastTopic {
		topic := string(p.Topic)
		if err := c.checkTopic(topic); err != nil {
			return err
		}
		c.lastTopic = topic
	}
	seq, err := c.admit(&p)
	if err != nil {
		return err
	}
	if c.batch == nil {
		c.batch = batches.Get().(*[64]Publish)[:0]
	}
	c.batch = append(c.batch, Publish{
		Message: Message{
			Topic:    c.lastTopic,
			Payload:  append([]byte{}, p.Payload...),
			QoS:      QoS(p.QoS),
			Retain:   p.Retain,
			Dup:      p.Dup,
			PacketID: p.ID,
		},
		conn: c,
		seq:  seq,
	})
	if len(c.batch) == cap(c.batch) {
		c.handOver()
	}
	return nil
}

// admit waits until there is room for one more publication and gives it a number.
func (c *Conn) admit(p *packet.Publish) (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.roomInbound() {
		c.waitInbound()
	}
	if c.closing || c.stopping {
		return 0, os.ErrDeadlineExceeded // as the next read would
	}
	// A repetition within one connection is marked as such; some devices send
	// one when a PUBACK is late. Without the mark it is another message under an
	// identifier in use.
	if p.QoS > 0 && !p.Dup && c.in.holds(p.ID) {
		return 0, packet.Errorf("MQTT-2.3.1-2", "packet identifier %d is in use", p.ID)
	}
	c.out.corked = true
	return c.in.push(pending{size: int32(len(p.Topic) + len(p.Payload)), id: p.ID}), nil
}

func (c *Conn) roomInbound() bool {
	l := &c.group.limits
	return c.in.len() < l.MaxInbound && c.in.bytes < l.MaxInboundBytes
}

// waitInbound hands over what is waiting and waits for the session to settle some
// of it. The client is not at fault, so its silence is counted anew.
func (c *Conn) waitInbound() {
	c.mu.Unlock()
	c.handOver()
	c.mu.Lock()
	c.out.corked = false
	c.wakeWriter()
	for !c.roomInbound() && !c.closing && !c.stopping {
		c.room.Wait()
	}
	c.alive = time.Now()
}

// handOver gives the batch to the session.
func (c *Conn) handOver() {
	if len(c.batch) == 0 {
		return
	}
	batch := c.batch
	c.batch = nil
	c.mu.Lock()
	session, closing := c.session, c.closing
	c.mu.Unlock()
	if !closing {
		c.group.server.Stats.PublishIn.Add(int64(len(batch)))
		session.Publish(batch)
	}
	clear(batch)
	batches.Put((*[64]Publish)(batch[:64]))
}

// settle is Publish.Ack.
func (c *Conn) settle(seq uint64, err error) {
	c.mu.Lock()
	if c.closing || !c.in.settle(seq) {
		c.mu.Unlock()
		return
	}
	if err != nil {
		c.mu.Unlock()
		c.end(err)
		return
	}
	defer c.mu.Unlock()
	acked := 0
	for p, ok := c.in.pop(); ok; p, ok = c.in.pop() { // in order of arrival [MQTT-4.6.0-2]
		if p.id != 0 {
			c.out.append(func(b []byte) []byte { return packet.AppendID(b, packet.PUBACK, p.id) }) // [MQTT-4.3.2-2] [MQTT-2.3.1-6]
			acked++
		}
	}
	c.group.server.Stats.PublishAcked.Add(int64(acked))
	c.room.Signal()
	c.wakeWriter()
}

// waitSettled waits, if the server is stopping, for all publications to be
// settled. It reports false if it is not stopping, or the connection ended.
func (c *Conn) waitSettled() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.stopping && c.in.len() > 0 && !c.closing {
		c.room.Wait()
	}
	return c.stopping && !c.closing
}

// checkTopic checks the topic of a publication, which is UTF-8 without U+0000.
func (c *Conn) checkTopic(s string) error {
	if !ValidTopic(s) {
		return packet.Errorf("MQTT-3.3.2-2", "topic %.64q is empty or has wildcards", s)
	}
	return c.checkLevels(s)
}
