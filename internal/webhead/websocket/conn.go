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

	writing  turn
	writeErr error // of whom has the turn; sticky, for half a frame may have left

	mu        sync.Mutex
	deadline  time.Time // for writing, as the user of the Conn set it
	pong      []byte    // owed to the client; nil for none
	closeOnce sync.Once
}

var _ net.Conn = (*Conn)(nil)

func newConn(nc net.Conn, in io.Reader, state *tls.ConnectionState) *Conn {
	return &Conn{nc: nc, in: in, tls: state, writing: make(turn, 1)}
}

// A turn is taken by one at a time. Its capacity is 1.
type turn chan struct{}

func (t turn) take() { t <- struct{}{} }
func (t turn) give() { <-t }

// tryTake reports whether nobody had the turn; then it is taken.
func (t turn) tryTake() bool {
	select {
	case t <- struct{}{}:
		return true
	default:
		return false
	}
}

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
		c.writing.take()
		c.sendClose(StatusNormal)
		c.writing.give()
		_ = c.nc.SetReadDeadline(time.Now().Add(closeTime)) // an error shows in Read
		c.reading.farewell(c)
		err = c.nc.Close()
	})
	return err
}
