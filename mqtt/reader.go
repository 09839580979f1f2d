package mqtt

import (
	"errors"
	"os"
	"time"

	"sluice/mqtt/internal/packet"
)

// progress is the number of bytes that count as a sign of life before a packet is
// complete: a large one over a slow line takes longer than a short keep-alive,
// and a client that drips bytes shall not live on them.
const progress = 1000

// A receiver is what was read and not yet served. It has no buffer while it is
// empty and nothing comes.
type receiver struct {
	buf        []byte
	start, end int

	partial bool // whether the last Read may have left something above the transport
	packets int  // packets and bytes since the last sign of life
	bytes   int
}

func (r *receiver) data() []byte { return r.buf[r.start:r.end] }

// prepare makes room for more bytes of a packet that has need bytes in all. It
// grows the buffer only as bytes arrive, whatever a packet claims to be long.
func (r *receiver) prepare(need int) {
	if r.buf == nil {
		r.buf = newBuffer()[:]
	}
	if r.start > 0 {
		r.end = copy(r.buf, r.data())
		r.start = 0
	}
	if r.end == len(r.buf) {
		buf := make([]byte, min(need, 2*len(r.buf)))
		copy(buf, r.buf)
		r.release()
		r.buf = buf
	}
}

// release gives up the buffer.
func (r *receiver) release() {
	if len(r.buf) == bufferSize {
		buffers.Put((*buffer)(r.buf))
	}
	r.buf = nil
}

// next returns the next packet. Its body is valid until the next call.
func (c *Conn) next() (packet.Header, []byte, error) {
	for {
		data := c.rx.data()
		h, err := packet.ParseHeader(data)
		if err == nil {
			err = c.checkLength(h, data)
		}
		if err != nil {
			return h, nil, err
		}
		size := h.Size + h.Length
		if h.Size > 0 && len(data) >= size {
			c.rx.start += size
			c.rx.packets++
			return h, data[h.Size:size], nil
		}
		if err := c.fill(size); err != nil {
			return h, nil, err
		}
	}
}

// checkLength refuses a packet by its first bytes, before the rest is read.
func (c *Conn) checkLength(h packet.Header, data []byte) error {
	limit := c.group.limits.MaxPayload + 2 + 65535 + 2
	if !c.connected {
		limit = c.group.limits.MaxConnect
		if len(data) > 0 && packet.Type(data[0]>>4) != packet.CONNECT {
			return packet.Errorf("MQTT-3.1.0-1", "%v before CONNECT", packet.Type(data[0]>>4))
		}
	}
	if h.Length > limit {
		return packet.Errorf("", "%v of %d bytes, at most %d", h.Type, h.Length, limit)
	}
	return nil
}

// fill reads more of a packet of need bytes, or of whatever comes if need is 0.
func (c *Conn) fill(need int) error {
	r := &c.rx
	if len(r.data()) == 0 {
		r.start, r.end = 0, 0
		if !r.partial && c.under.atRest() {
			r.release()
			if err := c.under.wait(); err != nil {
				return err
			}
		}
	}
	r.prepare(need)
	n, err := c.nc.Read(r.buf[r.end:])
	r.partial = r.end+n == len(r.buf)
	r.end += n
	r.bytes += n
	c.group.server.Stats.BytesIn.Add(int64(n))
	if n > 0 {
		return nil // an error comes again with the next Read
	}
	return err
}

// beforeRead is called ahead of each read that may block, once there is a
// session: what was received together is handed over, what was answered leaves.
func (c *Conn) beforeRead() {
	c.handOver()
	c.uncork()
	if c.rx.packets > 0 || c.rx.bytes >= progress {
		c.group.server.Stats.PacketsIn.Add(int64(c.rx.packets))
		c.rx.packets, c.rx.bytes = 0, 0
		c.alive = time.Now()
		c.setReadDeadline(c.alive.Add(c.silence))
	}
}

// run serves packets until the connection ends. A nil error is a DISCONNECT.
func (c *Conn) run() error {
	for {
		h, body, err := c.next()
		if err == nil {
			err = c.dispatch(h, body)
		}
		if err == nil {
			continue
		}
		c.handOver()
		c.uncork()
		switch {
		case errors.Is(err, errDisconnect):
			c.finish()
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded) && c.waitSettled():
			c.finish()
			return ErrServerClosed
		}
		return err
	}
}

// errDisconnect ends run after a DISCONNECT.
var errDisconnect = errors.New("mqtt: DISCONNECT")

// dispatch serves one packet. Packets are served in the order of their arrival,
// and the answers to them queued in that order.
func (c *Conn) dispatch(h packet.Header, body []byte) error {
	if h.Type == packet.PUBLISH {
		return c.receivePublish(h.Flags, body)
	}
	// What came before is the session's first.
	c.handOver()
	switch h.Type {
	case packet.PUBACK:
		return c.receivePuback(body)
	case packet.SUBSCRIBE:
		return c.receiveSubscribe(body)
	case packet.UNSUBSCRIBE:
		return c.receiveUnsubscribe(body)
	case packet.PINGREQ:
		if err := packet.DecodeEmpty(body); err != nil {
			return err
		}
		return c.reply(func(b []byte) []byte { return packet.AppendEmpty(b, packet.PINGRESP) }) // [MQTT-3.12.4-1]
	case packet.DISCONNECT:
		if err := packet.DecodeEmpty(body); err != nil {
			return err
		}
		c.will = nil // [MQTT-3.14.4-3]
		return errDisconnect
	case packet.CONNECT:
		return packet.Errorf("MQTT-3.1.0-2", "second CONNECT")
	}
	return packet.Errorf("", "%v from a client", h.Type)
}

// finish lets what is queued leave.
func (c *Conn) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out.corked = false
	c.wakeWriter()
	c.flush()
}
