package amqp10

import (
	"fmt"
	"runtime"
	"sync"
	"time"

	"sluice/amqp10/internal/wire"
)

const (
	writeBuffer = 8 << 10
	bulkBuffer  = 64 << 10
	// writeChunk is the piece that a peer must take within Limits.Write.
	writeChunk = 16 << 10
)

// Buffers of frames to be written come in two sizes; what needs more is left
// to the collector.
var (
	writeBuffers = sync.Pool{New: func() any { return new([writeBuffer]byte) }}
	bulkBuffers  = sync.Pool{New: func() any { return new([bulkBuffer]byte) }}
)

// freeWriteBuffer gives a buffer back.
func freeWriteBuffer(b []byte) {
	switch cap(b) {
	case writeBuffer:
		writeBuffers.Put((*[writeBuffer]byte)(b[:writeBuffer]))
	case bulkBuffer:
		bulkBuffers.Put((*[bulkBuffer]byte)(b[:bulkBuffer]))
	}
}

// w returns the encoder of the frames that wait to be written. [mu held]
func (c *Conn) w() *wire.Encoder {
	if c.out.B == nil {
		c.out.B = writeBuffers.Get().(*[writeBuffer]byte)[:0]
	}
	return &c.out
}

// room is w for n bytes more, which the next larger buffer may take. [mu held]
func (c *Conn) room(n int) *wire.Encoder {
	w := c.w()
	if cap(w.B) == writeBuffer && len(w.B)+n > writeBuffer && len(w.B)+n <= bulkBuffer {
		small := w.B
		w.B = append(bulkBuffers.Get().(*[bulkBuffer]byte)[:0], small...)
		freeWriteBuffer(small)
	}
	return w
}

// kick sees to it that what waits is written. A goroutine does so only while
// there is something, so that an idle connection has none. [mu held]
func (c *Conn) kick() {
	if c.writing || c.broken != nil || !c.async || c.ended {
		return
	}
	c.writing = true
	c.wg.Add(1)
	go c.write()
}

func (c *Conn) write() {
	defer c.wg.Done()
	// Let others who are ready add to this write.
	runtime.Gosched()
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.broken == nil {
		c.flushSessions()
		if len(c.out.B) == 0 {
			break
		}
		b := c.out.B
		c.out.B = nil
		c.inFlight, c.lastSent = len(b), time.Now()
		c.ownGoing, c.ownOut = c.ownOut, 0
		c.mu.Unlock()
		err := c.writeAll(b)
		freeWriteBuffer(b)
		c.mu.Lock()
		c.inFlight, c.ownGoing = 0, 0
		c.wrote(err)
	}
	c.writing = false
	if len(c.out.B) == 0 && c.out.B != nil {
		freeWriteBuffer(c.out.B)
		c.out.B = nil
	}
	c.space.Broadcast()
}

// wrote wakes those who waited for the peer to read. [mu held]
func (c *Conn) wrote(err error) {
	if err != nil {
		c.broken = fmt.Errorf("amqp10: write: %w", err)
		_ = c.nc.Close() // ends the reader; the error that counts is the write's
	}
	c.space.Broadcast()
	if c.err == nil {
		c.wakeBlocked()
		c.notify()
	}
}

func (c *Conn) writeAll(b []byte) error {
	for len(b) > 0 {
		n := min(len(b), writeChunk)
		if err := c.nc.SetWriteDeadline(c.writeDeadline()); err != nil {
			return err
		}
		if _, err := c.nc.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// writeDeadline is the end of the peer's time for the next piece. A connection
// that is closing waits no longer than for the peer's close.
func (c *Conn) writeDeadline() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := time.Now().Add(c.limits.Write)
	if !c.lingerEnd.IsZero() && c.lingerEnd.Before(t) {
		return c.lingerEnd
	}
	return t
}

// queued is how many bytes wait for the peer. [mu held]
func (c *Conn) queued() int { return len(c.out.B) + c.inFlight + c.pending }

// answers is how many bytes wait that are not of our own deliveries: what the
// peer has caused, and must read before it causes more. [mu held]
func (c *Conn) answers() int { return len(c.out.B) + c.inFlight - c.ownOut - c.ownGoing }

// waitForRoom stops the reader while the peer does not read what we answer, or
// the handler does not settle what we delivered. Our own deliveries that wait
// do not stop it: two ends that wait for each other to read would wait for
// ever. It reports false when the connection is over.
func (c *Conn) waitForRoom() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.broken == nil && !c.closeSent &&
		(c.held >= c.limits.Held || c.answers() >= c.limits.Outgoing) {
		c.paused = true
		c.space.Wait()
	}
	if c.paused {
		c.paused = false
		c.lastRead = time.Now() // its silence was our doing
	}
	return c.broken == nil
}
