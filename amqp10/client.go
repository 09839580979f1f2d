package amqp10

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"

	"sluice/amqp10/internal/frame"
)

// ClientConfig says how a client opens connections.
type ClientConfig struct {
	// ContainerID names this process to its peers; "": a random name.
	ContainerID string
	// Hostname is the virtual host that is asked for; "": none by NewConn, the
	// host of the address by Dial.
	Hostname string
	// Login authenticates; nil: SASL is left out.
	Login *Login
	// TLS is used by Dial; nil: no TLS. Its ServerName may be empty.
	TLS *tls.Config
	// Offered, Desired and Properties go into the open.
	Offered    []Symbol
	Desired    []Symbol
	Properties Fields
	// Handler is asked about links that the peer attaches; nil: they are
	// refused.
	Handler Handler
	Limits  Limits
	// Log gets panics of callbacks; nil: nothing is logged.
	Log *slog.Logger
}

// Dial connects to addr, "host:port" over TCP, and opens a connection. ctx
// bounds only that; the caller ends the connection with Conn.Close.
func Dial(ctx context.Context, addr string, k ClientConfig) (*Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if k.Hostname == "" {
		k.Hostname = host
	}
	if k.TLS != nil {
		t := k.TLS.Clone()
		if t.ServerName == "" {
			t.ServerName = host
		}
		nc = tls.Client(nc, t)
	}
	return NewConn(ctx, nc, k)
}

// NewConn opens an AMQP connection on nc, which it takes over: also when it
// fails, nc is closed. ctx bounds only that.
func NewConn(ctx context.Context, nc net.Conn, k ClientConfig) (*Conn, error) {
	limits, err := k.Limits.withDefaults()
	if err != nil {
		_ = nc.Close()
		return nil, err
	}
	c := newConn(nc, limits, k.Log)
	c.handler = k.Handler
	c.startOpen(containerID(k.ContainerID), k.Hostname, k.Offered, k.Desired, k.Properties)
	if err := c.handshake(ctx, func(context.Context) error { return c.open(k.Login) }); err != nil {
		_ = nc.Close()
		c.rd.release()
		return nil, err
	}
	c.start()
	go c.run(nil) // ends before done is closed, which Close waits for
	return c, nil
}

// open is the client's part of a handshake.
func (c *Conn) open(l *Login) error {
	if l != nil {
		if err := c.login(l); err != nil {
			return err
		}
	}
	c.appendHeader(frame.ProtoAMQP)
	c.own.Append(c.w())
	if err := c.flushNow(); err != nil {
		return err
	}
	if err := c.expectHeader(frame.ProtoAMQP); err != nil {
		return err
	}
	return c.readOpen()
}
