package tlsx

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// A Conn is a connection of a [Listener].
type Conn struct {
	net.Conn
	listener *Listener
	from     netip.Prefix
	closed   sync.Once

	shaken atomic.Bool // the handshake is over, or not to be watched
	late   *time.Timer // nil without Limits.Handshake
	timed  atomic.Bool // it took too long
	client record      // the reader's
	sent   atomic.Bool // the client has sent application data
}

func newConn(l *Listener, nc net.Conn, from netip.Prefix) *Conn {
	c := &Conn{Conn: nc, listener: l, from: from}
	if l.limits.Handshake <= 0 {
		c.shaken.Store(true)
		return c
	}
	c.late = time.AfterFunc(l.limits.Handshake, c.expire)
	return c
}

// expire ends a handshake that takes too long. A deadline would not do: those are
// the server's to set.
func (c *Conn) expire() {
	if c.shaken.Load() {
		return
	}
	c.timed.Store(true)
	c.listener.Stats.TimedOut.Add(1)
	_ = c.end() // the reader gets ErrHandshakeTimeout
}

// Read reads, and while the handshake lasts it looks at the records' headers.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	switch {
	case c.shaken.Load():
	case c.timed.Load():
		return 0, ErrHandshakeTimeout
	case !c.sent.Load() && c.client.data(p[:n]):
		c.sent.Store(true)
	}
	return n, err
}

// Write writes. What is written after the client's first application data is the
// first sign that the handshake is over: in TLS 1.3 a client's Certificate and
// Finished look like such data, and it may stop between them.
func (c *Conn) Write(p []byte) (int, error) {
	if !c.shaken.Load() && c.sent.Load() {
		c.handshaken()
	}
	return c.Conn.Write(p)
}

// Established tells that the handshake is over, and Limits.Handshake no longer
// applies. It is for servers that know before they have anything to write: to a
// client that wants no session tickets the answer to its first request, which may
// take its time, is what they write first.
func (c *Conn) Established() { c.handshaken() }

func (c *Conn) handshaken() {
	c.shaken.Store(true)
	if c.late != nil {
		c.late.Stop()
	}
}

// Socket returns the TCP connection below, or nil if that is none, for a server
// that reads from it directly. Limits.Handshake no longer applies then, so the
// server must have a limit of its own. What is closed must still be the Conn.
func (c *Conn) Socket() *net.TCPConn {
	s, _ := c.Conn.(*net.TCPConn)
	if s != nil {
		c.handshaken()
	}
	return s
}

// Close closes the connection and gives back its place.
func (c *Conn) Close() error {
	if c.late != nil {
		c.late.Stop()
	}
	return c.end()
}

func (c *Conn) end() error {
	err := c.Conn.Close()
	c.closed.Do(func() { c.listener.release(c.from) })
	return err
}
