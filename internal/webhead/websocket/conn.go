package websocket

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"time"
)

// A Conn is the stream of bytes in a WebSocket. One goroutine at a time may read and
// any may write; Close and the deadlines are for all.
type Conn struct {
	nc  net.Conn
	in  io.Reader // nc, perhaps after what the HTTP server had read ahead
	tls *tls.ConnectionState

	reading reader

	writing  sync.Mutex
	writeErr error // guarded by writing; sticky, for half a frame may have left

	mu        sync.Mutex
	deadline  time.Time // for writing, as the user of the Conn set it
	pong      []byte    // owed to the client; nil for none
	closeOnce sync.Once
}

var _ net.Conn = (*Conn)(nil)

// LocalAddr is that of the connection below.
func (c *Conn) LocalAddr() net.Addr { return c.nc.LocalAddr() }

// RemoteAddr is the client's address.
func (c *Conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// ConnectionState is that of the TLS connection below, which has the client's
// certificates; zero if there is none.
func (c *Conn) ConnectionState() tls.ConnectionState {
	if c.tls == nil {
		return tls.ConnectionState{}
	}
	return *c.tls
}

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline implements net.Conn. A Read that was interrupted may be tried
// again: nothing is lost.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.nc.SetReadDeadline(t) }

// SetWriteDeadline implements net.Conn. After a Write that was interrupted all
// others fail.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	return c.nc.SetWriteDeadline(t)
}

// closeTime is how long the closing handshake may take, in either direction.
const closeTime = time.Second

// Close tells the client, waits a moment for its answer, so that what was written
// before is not lost to a reset, and closes the connection below.
func (c *Conn) Close() error {
	err := net.ErrClosed
	c.closeOnce.Do(func() {
		_ = c.SetWriteDeadline(time.Now().Add(closeTime)) // also ends a Write that hangs
		c.writing.Lock()
		c.sendClose(StatusNormal)
		c.writing.Unlock()
		_ = c.nc.SetReadDeadline(time.Now().Add(closeTime)) // an error shows in Read
		c.reading.farewell(c)
		err = c.nc.Close()
	})
	return err
}
