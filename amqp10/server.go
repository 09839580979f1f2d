package amqp10

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"sluice/amqp10/internal/frame"
)

// Server serves connections. Its fields are not changed once it serves.
type Server struct {
	// ContainerID names this process to its peers; "": a random name.
	ContainerID string
	// Mechanisms are offered in this order. With none, SASL is not spoken.
	Mechanisms []*Mechanism
	// Direct judges peers that leave SASL out; nil: with Mechanisms, they are
	// refused, without, they are let in.
	Direct *Mechanism
	// Open is asked when a peer has authenticated and opened, and returns what
	// answers for the connection. An error refuses the peer, which is told if
	// it is an *Error.
	Open func(c *Conn) (Handler, error)
	// Stopping is the error with which sessions and connections are ended when
	// the context ends, as by Conn.Dismiss; nil: connections are closed with
	// amqp:connection:forced.
	Stopping *Error
	// Offered and Properties go into the open.
	Offered    []Symbol
	Properties Fields
	Limits     Limits
	// Log gets panics of callbacks, and connections that ended before their
	// open; nil: nothing is logged.
	Log *slog.Logger
}

// Serve accepts connections from l and serves each, until ctx ends or l fails.
// It returns when all connections have ended: when ctx ends, they are closed
// with amqp:connection:forced, or with Stopping. It closes l. It does not bound the number of
// connections; a listener can.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	if _, err := s.Limits.withDefaults(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	for {
		nc, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if !pauseAfter(ctx, err) {
				return fmt.Errorf("amqp10: accept: %w", err)
			}
			continue
		}
		wg.Go(func() { _ = s.ServeConn(ctx, nc) })
	}
}

// pauseAfter waits a little after an error that may go away, such as no file
// descriptor being free.
func pauseAfter(ctx context.Context, err error) bool {
	var t interface{ Temporary() bool }
	if errors.Is(err, net.ErrClosed) || !errors.As(err, &t) || !t.Temporary() {
		return false
	}
	select {
	case <-time.After(50 * time.Millisecond):
	case <-ctx.Done():
	}
	return true
}

// ServeConn serves one connection, which it closes, and returns when that has
// ended: nil if the peer closed it without an error. nc may be of any kind:
// TCP, TLS, or a WebSocket that carries a stream.
func (s *Server) ServeConn(ctx context.Context, nc net.Conn) error {
	limits, err := s.Limits.withDefaults()
	if err != nil {
		_ = nc.Close()
		return err
	}
	c := newConn(nc, limits, s.Log)
	c.startOpen(containerID(s.ContainerID), "", s.Offered, nil, s.Properties)
	err = c.handshake(ctx, func(ctx context.Context) error { return s.handshake(ctx, c) })
	if err != nil {
		c.log.Info("amqp10: refused", slog.String("remote", nc.RemoteAddr().String()), slog.Any("error", err))
	}
	stop := context.AfterFunc(ctx, func() { s.stop(c) })
	defer stop()
	c.run(err)
	return c.Err()
}

// handshake is the server's part: headers, SASL, open. An *Error that it
// returns after the opens is told to the peer.
func (s *Server) handshake(ctx context.Context, c *Conn) error {
	if err := s.admit(ctx, c); err != nil {
		return err
	}
	opened := c.readOpen()
	c.own.Append(c.w())
	if err := c.flushNow(); err != nil {
		return err
	}
	c.start() // so that a refusal is written as every close is
	if opened != nil {
		return opened
	}
	h, err := s.Open(c)
	if err != nil {
		return refusal(err)
	}
	c.handler = h
	return nil
}

// refusal is what a peer is told of an error of Open.
func refusal(err error) error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Condition: ErrInternal, Description: "internal error", Cause: err}
}

// admit exchanges headers, and authenticates [AMQP 2.2, 5.3.2].
func (s *Server) admit(ctx context.Context, c *Conn) error {
	first, err := c.rd.header()
	if err != nil {
		return err
	}
	switch {
	case string(first) == frame.ProtoSASL && len(s.Mechanisms) > 0:
		c.appendHeader(frame.ProtoSASL)
		if err := c.authenticate(ctx, s.Mechanisms); err != nil {
			return err
		}
		if err := s.expectAMQP(c); err != nil {
			return err
		}
	case string(first) == frame.ProtoAMQP && s.Direct != nil:
		if c.identity, err = s.Direct.authenticate(ctx, c, nil); err != nil {
			return s.wrongHeader(c, err)
		}
	case string(first) == frame.ProtoAMQP && len(s.Mechanisms) == 0:
	default:
		return s.wrongHeader(c, fmt.Errorf("%w: its header is %q", errProtocol, first))
	}
	c.appendHeader(frame.ProtoAMQP)
	return c.flushNow()
}

func (s *Server) expectAMQP(c *Conn) error {
	if err := c.expectHeader(frame.ProtoAMQP); err != nil {
		return s.wrongHeader(c, err)
	}
	return nil
}

// wrongHeader answers with the header that we want [AMQP 2.2].
func (s *Server) wrongHeader(c *Conn, why error) error {
	want := frame.ProtoAMQP
	if len(s.Mechanisms) > 0 && c.mechanism == "" {
		want = frame.ProtoSASL
	}
	c.appendHeader(want)
	c.turnedAway = c.flushNow() == nil
	return why
}

func containerID(id string) string {
	if id == "" {
		return rand.Text()
	}
	return id
}
