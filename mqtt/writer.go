package mqtt

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// The writer is a goroutine that exists only while there is something to write or
// a Ready to call. All that is queued while it writes leaves with the next write.

// wakeWriter starts the writer if it has something to do. c.mu is held.
func (c *Conn) wakeWriter() {
	if c.out.writing || c.out.corked || c.closing || len(c.out.buf) == 0 && !c.readyDue() {
		return
	}
	c.out.writing = true
	c.writer.Go(c.write)
}

// readyDue reports whether the session waits for Ready and there is room for
// messages of either QoS. c.mu is held.
func (c *Conn) readyDue() bool {
	return c.out.starved && c.roomOutbound(AtLeastOnce)
}

// write is the writer. It calls Ready before it writes, so that what the session
// publishes then leaves with the rest.
func (c *Conn) write() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.closing && (len(c.out.buf) > 0 || c.readyDue()) {
		if c.readyDue() {
			c.out.starved = false
			session := c.session
			c.unlocked(func() error { session.Ready(); return nil })
			continue
		}
		buf, written := c.out.buf, c.out.written
		c.out.buf, c.out.written = nil, nil
		c.unlocked(func() error { return c.writeBuffer(buf, written) })
		c.room.Broadcast()
	}
	c.out.writing = false // with the lock still held: what is queued from now on needs another writer
	c.room.Broadcast()
}

// unlocked calls f without c.mu. If f fails the connection has ended before the
// lock is held again, and nothing is written after what is perhaps half a packet.
func (c *Conn) unlocked(f func() error) {
	c.mu.Unlock()
	if err := c.guard(f); err != nil {
		c.end(err)
	}
	c.mu.Lock()
}

// writeBuffer writes buf, and tells those whose messages are in it.
func (c *Conn) writeBuffer(buf []byte, written []func(error)) error {
	err := c.send(buf)
	releaseBuffer(buf)
	if err != nil {
		c.end(err)
		for _, done := range written {
			done(c.lost())
		}
		return err
	}
	for _, done := range written {
		done(nil)
	}
	return nil
}

// send writes b, in pieces that each have their time.
func (c *Conn) send(b []byte) error {
	for len(b) > 0 {
		piece := b[:min(len(b), bufferSize)]
		b = b[len(piece):]
		c.setWriteDeadline(time.Now().Add(c.group.limits.WriteTimeout))
		n, err := c.nc.Write(piece)
		c.group.server.Stats.BytesOut.Add(int64(n))
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return ErrWriteTimeout
		}
		if err != nil {
			return fmt.Errorf("mqtt: write: %w", err)
		}
	}
	return nil
}

// setWriteDeadline does not undo an interruption.
func (c *Conn) setWriteDeadline(t time.Time) {
	_ = c.under.SetWriteDeadline(t)
	c.mu.Lock()
	interrupted := c.closing
	c.mu.Unlock()
	if interrupted {
		_ = c.under.SetWriteDeadline(longAgo)
	}
}

// uncork lets leave what the reader queued. If that is little and will not block, the
// reader writes it itself, once: to wake a writer takes longer than the write.
func (c *Conn) uncork() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out.corked = false
	if !c.out.writing && !c.closing && c.out.isLittle() && !c.readyDue() && c.under.writable() {
		c.out.writing = true
		buf, written := c.out.buf, c.out.written
		c.out.buf, c.out.written = nil, nil
		c.unlocked(func() error { return c.writeBuffer(buf, written) })
		c.out.writing = false
		c.room.Broadcast()
	}
	c.wakeWriter()
}

// isLittle reports whether there is something to write that a socket which takes
// anything takes whole.
func (o *outbound) isLittle() bool { return len(o.buf) > 0 && len(o.buf) <= 1<<10 }

// reply queues an answer to the client. One that asks and does not read is not
// read from either, until it does or the write deadline ends it.
func (c *Conn) reply(encode func([]byte) []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out.corked = true
	c.out.append(encode)
	for len(c.out.buf) > c.group.limits.MaxOutboundBytes && !c.closing {
		c.out.corked = false
		c.wakeWriter()
		c.room.Wait()
	}
	return nil
}

// flush waits until everything is written. c.mu is held.
func (c *Conn) flush() {
	for (c.out.writing || len(c.out.buf) > 0) && !c.closing {
		c.room.Wait()
	}
}
