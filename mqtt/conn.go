package mqtt

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"time"
)

// A Conn is one client's connection, as the backend sees it.
type Conn struct {
	group  *group
	nc     net.Conn  // what MQTT is read from and written to
	under  transport // what is below it
	client string    // client identifier, once there is a CONNECT

	// Owned by the goroutine in serve, the reader.
	rx        receiver
	batch     []Publish
	lastTopic string // of the last PUBLISH, known to be valid
	subs      map[string]struct{}
	connected bool
	will      *Message
	silence   time.Duration // that ends the connection
	alive     time.Time     // when the client last showed life

	mu   sync.Mutex
	room sync.Cond // the reader waits here, for settle, the writer and closing

	// Guarded by mu.
	session  Session // nil until CONNACK
	stopping bool    // read no further
	closing  bool    // do nothing further; reason says why
	reason   error
	in       inbound
	out      outbound
	writer   sync.WaitGroup
}

// longAgo, as a deadline, interrupts reads and writes.
var longAgo = time.Unix(1, 0)

func newConn(g *group, nc net.Conn) *Conn {
	c := &Conn{group: g}
	c.room.L = &c.mu
	c.under.init(nc)
	c.under.before = func() {}
	c.nc = &c.under
	if g.server.TLS != nil {
		c.under.records = true
		c.nc = tls.Server(&c.under, g.server.TLS)
	}
	return c
}

// RemoteAddr returns the client's address.
func (c *Conn) RemoteAddr() net.Addr { return c.under.RemoteAddr() }

// Close ends the connection, without waiting for it. The session's Closed gets
// the reason, unless the connection had ended before for another. Close may be
// called by any goroutine, Backend.Connect's and the session's included.
func (c *Conn) Close(reason error) {
	if reason == nil {
		reason = net.ErrClosed
	}
	c.end(reason)
}

// end sets the reason, of which the first stands; nil is a DISCONNECT. The
// reader and the writer are interrupted, and the reader closes the socket:
// closing it here could block, on a WebSocket's closing handshake for instance.
func (c *Conn) end(reason error) {
	c.mu.Lock()
	first := !c.closing
	if first {
		c.closing, c.reason = true, reason
		c.room.Broadcast()
	}
	c.mu.Unlock()
	if first {
		_ = c.under.SetDeadline(longAgo) // only fails on a closed socket
	}
}

// stopReading makes the reader finish: it reads no further, waits for the
// publications that it gave to the session, and ends the connection.
func (c *Conn) stopReading() {
	c.mu.Lock()
	c.stopping = true
	c.room.Broadcast()
	c.mu.Unlock()
	_ = c.under.SetReadDeadline(longAgo)
}

// setReadDeadline does not undo an interruption.
func (c *Conn) setReadDeadline(t time.Time) {
	_ = c.under.SetReadDeadline(t)
	c.mu.Lock()
	interrupted := c.closing || c.stopping
	c.mu.Unlock()
	if interrupted {
		_ = c.under.SetReadDeadline(longAgo)
	}
}

// serve runs the connection to its end, and returns the reason.
func (c *Conn) serve(ctx context.Context) error {
	err := c.guard(func() error {
		if err := c.connect(ctx); err != nil {
			return err
		}
		return c.run()
	})
	c.end(c.explain(err))
	c.close()
	return c.reason
}

// guard is the one place where a panic of the engine or of the backend, on a
// goroutine of this connection, is recovered. It costs this connection.
func (c *Conn) guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			c.group.server.Stats.Panics.Add(1)
			c.group.log.Error("mqtt: panic", "client", c.client, "remote", c.RemoteAddr(),
				"panic", p, "stack", string(debug.Stack()))
			err = ErrPanic
		}
	}()
	return f()
}

// explain turns a failed read into the reason for it.
func (c *Conn) explain(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return io.EOF // TLS that was not closed in its own way
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	c.mu.Lock()
	stopping := c.stopping
	c.mu.Unlock()
	switch {
	case stopping:
		return ErrServerClosed
	case !c.connected:
		return ErrConnectTimeout
	}
	return ErrKeepAlive
}

// close frees what the connection holds and tells the session. There is no
// writer after it.
func (c *Conn) close() {
	c.writer.Wait()
	if c.reason == nil || errors.Is(c.reason, ErrServerClosed) {
		_ = c.nc.Close() // with TLS's close_notify
	} else {
		_ = c.socket().Close() // at once: the peer may not be reading
	}
	c.rx.release()
	c.under.data = nil
	c.under.release()

	c.mu.Lock()
	session, done := c.session, c.out.abandon()
	c.mu.Unlock()
	_ = c.guard(func() error {
		for _, f := range done {
			f(c.lost())
		}
		return nil
	})
	if session != nil {
		_ = c.guard(func() error { session.Closed(c.reason, c.will); return nil })
	}
	c.account()
}

// lost is the reason as messages in flight see it: never nil.
func (c *Conn) lost() error {
	if c.reason == nil {
		return errDisconnected
	}
	return c.reason
}

// socket is the connection without any TLS.
func (c *Conn) socket() net.Conn {
	if t, ok := c.under.Conn.(*tls.Conn); ok {
		return t.NetConn()
	}
	return c.under.Conn
}

// account counts the end of the connection and logs it, if it is a bad one.
func (c *Conn) account() {
	stats := &c.group.server.Stats
	level := slog.LevelInfo
	var refused *ConnectError
	var protocol *ProtocolError
	var network *net.OpError
	switch {
	case errors.As(c.reason, &protocol):
		stats.ProtocolErrors.Add(1)
	case errors.As(c.reason, &refused):
		stats.Refused.Add(1)
	case errors.Is(c.reason, ErrKeepAlive):
		stats.KeepAlives.Add(1)
	case c.reason == nil, errors.Is(c.reason, io.EOF), errors.Is(c.reason, ErrServerClosed), errors.Is(c.reason, ErrPanic), errors.As(c.reason, &network):
		level = slog.LevelDebug // nothing bad, or logged already
	}
	c.group.log.Log(context.Background(), level, "mqtt: connection ended",
		"client", c.client, "remote", c.RemoteAddr(), "reason", c.reason)
}
