package websocket

import (
	"bytes"
	"encoding/binary"
	"net"
	"sync"
	"time"
)

// bufferSize is that of one TLS record: most frames leave in one.
const bufferSize = 16 << 10

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// Write sends p as one binary message.
func (c *Conn) Write(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.writing.take()
	n, err = c.writeFrame(opBinary, p)
	c.writing.give()
	c.payPong()
	return n, err
}

// writeFrame writes a frame, the header together with the payload's beginning. It
// returns how much of the payload has left. The caller has the turn.
func (c *Conn) writeFrame(opcode byte, p []byte) (n int, err error) {
	if c.writeErr != nil {
		return 0, c.writeErr
	}
	buf := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buf)
	b := appendHeader(buf[:0], opcode, len(p))
	size := len(b)
	first := min(len(p), bufferSize-size)
	wrote, err := c.nc.Write(append(b, p[:first]...))
	n = max(0, wrote-size)
	if err == nil && first < len(p) {
		wrote, err = c.nc.Write(p[first:])
		n += wrote
	}
	c.writeErr = err
	return n, err
}

// sendClose sends a close, after which nothing is written. The caller has the turn.
func (c *Conn) sendClose(status int) {
	_, _ = c.writeFrame(opClose, binary.BigEndian.AppendUint16(nil, uint16(status))) // the end either way
	c.endWriting()
}

func (c *Conn) endWriting() {
	if c.writeErr == nil {
		c.writeErr = net.ErrClosed
	}
}

// control sends a close from the reader. A client that takes nothing is not waited
// for longer than closeTime.
func (c *Conn) control(opcode byte, payload []byte) {
	c.hurry(time.Now().Add(closeTime))
	c.writing.take()
	_, _ = c.writeFrame(opcode, payload) // the end either way
	c.endWriting()
	c.writing.give()
}

// owePong notes that a ping is to be answered. Of several only the last is, which RFC
// 6455 section 5.5.3 allows.
func (c *Conn) owePong(payload []byte) {
	c.mu.Lock()
	c.pong = append([]byte{}, payload...)
	c.mu.Unlock()
	c.payPong()
}

// payPong answers a ping, unless somebody is writing: that one does it then. So the
// reader never waits for a writer.
func (c *Conn) payPong() {
	for c.takePong(false) != nil && c.writing.tryTake() {
		if payload := c.takePong(true); payload != nil {
			c.hurry(time.Now().Add(closeTime))
			_, _ = c.writeFrame(opPong, payload) // shows in the next Write
			c.relax()
		}
		c.writing.give()
	}
}

// takePong returns what the client is to be answered, not nil if anything, and with
// taken takes it.
func (c *Conn) takePong(taken bool) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	payload := c.pong
	if taken {
		c.pong = nil
	}
	return bytes.Clone(payload)
}

// hurry sets a deadline for writing if the one that is set is later.
func (c *Conn) hurry(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.deadline.IsZero() || t.Before(c.deadline) {
		_ = c.nc.SetWriteDeadline(t) // an error shows in Write
	}
}

// relax sets again the deadline that was set.
func (c *Conn) relax() {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.nc.SetWriteDeadline(c.deadline) // an error shows in Write
}
