package tlsx

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// A Conn is a connection of a [Listener].
type Conn struct {
	net.Conn
	listener *Listener
	from     netip.Prefix
	close    sync.Once

	// The handshake is watched by whoever reads, one at a time.
	shaken atomic.Bool // it is over, or not to be watched
	late   *time.Timer // nil without Limits.Handshake
	timed  atomic.Bool // it took too long
	record record
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

// expire ends a handshake that takes too long. A deadline would not do: it is the
// server's to set.
func (c *Conn) expire() {
	if c.shaken.Load() {
		return
	}
	c.timed.Store(true)
	c.listener.Stats.TimedOut.Add(1)
	_ = c.Close() // the reader gets ErrHandshakeTimeout
}

// Read reads. Until the client's first record of application data, which in TLS
// 1.3 is the end of its handshake, it looks at the headers of the records.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.shaken.Load() {
		return n, err
	}
	if c.timed.Load() {
		return 0, ErrHandshakeTimeout
	}
	if c.record.data(p[:n]) {
		c.handshaken()
	}
	return n, err
}

func (c *Conn) handshaken() {
	c.shaken.Store(true)
	if c.late != nil {
		c.late.Stop()
	}
}

// Socket returns the TCP connection below, or nil if it is none, for a server
// that reads from it directly. Limits.Handshake no longer applies then, so the
// server must have a limit of its own. The Conn must still be what is closed.
func (c *Conn) Socket() *net.TCPConn {
	s, _ := c.Conn.(*net.TCPConn)
	if s != nil {
		c.handshaken()
	}
	return s
}

// NetConn returns the connection below.
func (c *Conn) NetConn() net.Conn { return c.Conn }

// CloseWrite closes the sending half, if the connection below has halves.
func (c *Conn) CloseWrite() error {
	if h, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return os.ErrInvalid
}

// Close closes the connection and gives back its place.
func (c *Conn) Close() error {
	err := c.Conn.Close()
	c.close.Do(func() {
		if c.late != nil {
			c.late.Stop()
		}
		c.listener.release(c.from)
	})
	return err
}
