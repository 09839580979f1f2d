package mqtt

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A Server serves a Backend. Its fields are set before the first use and not
// changed then; one Server may serve several listeners at once.
type Server struct {
	Backend Backend
	Limits  Limits

	// TLS, if not nil, is put on every connection. This costs less than a
	// listener of crypto/tls, whose connections are served as well: the engine
	// then reads many records with one system call.
	TLS *tls.Config

	// Log gets one line for each connection that ends badly; nil for none.
	Log *slog.Logger

	Stats Stats
}

// Stats counts since the Server was made. Its fields may be read at any time.
type Stats struct {
	Open           atomic.Int64 // connections now, in whatever state
	Accepted       atomic.Int64 // connections ever
	Sessions       atomic.Int64 // accepted CONNECTs
	Refused        atomic.Int64 // CONNECTs that the backend refused
	ProtocolErrors atomic.Int64 // connections ended by a *ProtocolError
	KeepAlives     atomic.Int64 // connections ended by ErrKeepAlive
	Panics         atomic.Int64 // connections ended by ErrPanic
	PacketsIn      atomic.Int64
	PublishIn      atomic.Int64 // publications given to the backend
	PublishAcked   atomic.Int64 // PUBACKs queued to clients
	PublishOut     atomic.Int64 // publications queued to clients
	BytesIn        atomic.Int64 // without TLS
	BytesOut       atomic.Int64 // without TLS
}

// Serve accepts connections from l until ctx ends or l fails, and closes l. It
// returns after every connection has ended, and its session's Closed returned:
// nil if ctx ended, else the error of l.
//
// When ctx ends, reading stops, outstanding publications may still be
// acknowledged for Limits.ShutdownGrace, and then connections are closed.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	g, err := s.begin()
	if err != nil {
		_ = l.Close()
		return err
	}
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { defer close(closed); _ = l.Close() })
	err = g.accept(ctx, l)
	if stop() {
		_ = l.Close()
	} else {
		<-closed
	}
	g.drain()
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("mqtt: accept: %w", err)
}

// ServeConn serves one connection, a WebSocket's for instance, until it or ctx
// ends, as Serve does, and closes it. It returns the reason, which is nil if the
// client sent DISCONNECT.
//
// Connect.TLS is set if nc has the method ConnectionState of a tls.Conn: a WebSocket's
// may pass on that of the connection below it.
func (s *Server) ServeConn(ctx context.Context, nc net.Conn) error {
	g, err := s.begin()
	if err != nil {
		_ = nc.Close()
		return err
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { defer close(stopped); g.drain() })
	c := g.add(nc)
	err = c.serve(ctx)
	g.remove(c)
	if !stop() {
		<-stopped
	}
	return err
}

// A group is the connections of one Serve or ServeConn.
type group struct {
	server *Server
	limits Limits
	log    *slog.Logger
	ended  chan struct{} // has a token after connections ended; capacity 1, for they are looked at anew each time

	mu       sync.Mutex
	conns    map[*Conn]struct{}
	stopping bool
	wg       sync.WaitGroup
}

func (s *Server) begin() (*group, error) {
	limits, err := s.Limits.withDefaults()
	if err != nil {
		return nil, err
	}
	if s.Backend == nil {
		return nil, errors.New("mqtt: Server has no Backend")
	}
	log := s.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &group{server: s, limits: limits, log: log, ended: make(chan struct{}, 1), conns: make(map[*Conn]struct{})}, nil
}

// accept starts connections until ctx ends or l fails for good. It pauses while
// there are too many, and after errors that pass.
func (g *group) accept(ctx context.Context, l net.Listener) error {
	var pause time.Duration
	for {
		if !g.waitForRoom(ctx) {
			return ctx.Err()
		}
		nc, err := l.Accept()
		if err == nil {
			pause = 0
			g.start(ctx, nc)
			continue
		}
		if !passing(err) || ctx.Err() != nil {
			return err
		}
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		g.log.Warn("mqtt: accept paused", "err", err, "pause", pause)
		if !g.pause(ctx, pause) {
			return ctx.Err()
		}
	}
}

// passing reports whether an error of Accept, like a lack of descriptors, is
// expected to pass.
func passing(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary() && !errors.Is(err, net.ErrClosed)
}

// pause waits for d, or until a connection ends and leaves its descriptor. It
// reports false if ctx ends.
func (g *group) pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-g.ended:
	case <-t.C:
	}
	return true
}

// waitForRoom waits while there are MaxConnections. It reports false if ctx ends.
func (g *group) waitForRoom(ctx context.Context) bool {
	for g.limits.MaxConnections > 0 && g.count() >= g.limits.MaxConnections {
		select {
		case <-ctx.Done():
			return false
		case <-g.ended:
		}
	}
	return ctx.Err() == nil
}

func (g *group) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.conns)
}

func (g *group) start(ctx context.Context, nc net.Conn) {
	c := g.add(nc)
	g.wg.Go(func() {
		defer g.remove(c)
		_ = c.serve(ctx) // serve has logged it
	})
}

func (g *group) add(nc net.Conn) *Conn {
	c := newConn(g, nc)
	g.server.Stats.Accepted.Add(1)
	g.server.Stats.Open.Add(1)
	g.mu.Lock()
	g.conns[c] = struct{}{}
	stopping := g.stopping
	g.mu.Unlock()
	if stopping {
		c.stopReading()
	}
	return c
}

func (g *group) remove(c *Conn) {
	g.server.Stats.Open.Add(-1)
	g.mu.Lock()
	delete(g.conns, c)
	g.mu.Unlock()
	select {
	case g.ended <- struct{}{}:
	default:
	}
}

// drain ends all connections: gently first, and after the grace by force. It
// returns when there are none.
func (g *group) drain() {
	g.mu.Lock()
	g.stopping = true
	g.mu.Unlock()
	g.each((*Conn).stopReading)

	grace := time.NewTimer(g.limits.ShutdownGrace)
	defer grace.Stop()
	for g.count() > 0 {
		select {
		case <-g.ended:
		case <-grace.C:
			g.each(func(c *Conn) { c.Close(ErrServerClosed) })
		}
	}
	g.wg.Wait()
}

func (g *group) each(f func(*Conn)) {
	g.mu.Lock()
	conns := make([]*Conn, 0, len(g.conns))
	for c := range g.conns {
		conns = append(conns, c)
	}
	g.mu.Unlock()
	for _, c := range conns {
		f(c)
	}
}
