package amqplink

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"time"

	"sluice/iot"
)

// Config says where the hub is and how much is asked of it. HostName and Dial
// are required.
type Config struct {
	// HostName is the hub's name: in audiences, and in the open.
	HostName string
	// Dial connects, and does all that is below AMQP: TLS, WebSocket.
	Dial func(context.Context) (net.Conn, error)
	// ConnectTimeout bounds dialing and the handshake of a connection: 20 s, if
	// zero.
	ConnectTimeout time.Duration
	// OperationTimeout bounds each exchange with the hub: a token, an attach, a
	// twin request, and how long telemetry may stay unsettled before its session
	// is given up: 30 s, if zero.
	OperationTimeout time.Duration
	// KeepAlive is how soon a silent hub is noticed, roughly: 30 s, if zero; at
	// least 2 s. One that talks and does not hear is noticed after half as long
	// again.
	KeepAlive time.Duration
	// Identities is how many sessions share a connection: 995, if zero, which is
	// what IoT Hub allows.
	Identities int
	// Concurrency is how many identities prove themselves at a time: 64, if zero.
	Concurrency int
	Log         *slog.Logger // nil discards
}

func (c Config) withDefaults() Config {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{{&c.ConnectTimeout, 20 * time.Second}, {&c.OperationTimeout, 30 * time.Second}, {&c.KeepAlive, 30 * time.Second}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if c.Identities == 0 {
		c.Identities = 995
	}
	if c.Concurrency == 0 {
		c.Concurrency = 64
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// A Pool is the connections to one hub. Its methods may be called from any
// goroutine.
type Pool struct {
	cfg   Config
	turns chan struct{} // one token per identity that proves itself

	mu    sync.Mutex
	lines []*line
	byID  map[iot.Identity]*session
	wg    sync.WaitGroup // lines that are not yet closed
}

// New returns a pool without a connection.
func New(cfg Config) *Pool {
	cfg = cfg.withDefaults()
	return &Pool{cfg: cfg, turns: make(chan struct{}, cfg.Concurrency), byID: make(map[iot.Identity]*session)}
}

// Connect proves an identity and attaches its link for telemetry, on a connection
// that there is or a new one. An earlier session of the identity is ended with
// [iot.ErrTakenOver].
func (p *Pool) Connect(ctx context.Context, creds iot.Credentials, client iot.Client) (iot.Session, error) {
	s, err := p.connect(ctx, creds, client)
	if err != nil {
		return nil, connectError(creds.Identity, err)
	}
	return s, nil
}

func (p *Pool) connect(ctx context.Context, creds iot.Credentials, client iot.Client) (*session, error) {
	l, err := p.line(ctx)
	if err != nil {
		return nil, err
	}
	// The turn is taken with a connection at hand, so that waiting for a hub
	// that is not there keeps nobody else waiting.
	select {
	case p.turns <- struct{}{}:
		defer func() { <-p.turns }()
	case <-ctx.Done():
		l.release()
		return nil, ctx.Err()
	}
	ctx, done := l.operate(ctx)
	defer done()
	s := newSession(l, creds, client)
	if err := s.open(ctx, creds); err != nil {
		s.end(err)
		return nil, err
	}
	return s, nil
}

// Close waits for connections that no session uses any more. Sessions are the
// caller's to close, before.
func (p *Pool) Close() {
	p.mu.Lock()
	idle := len(p.byID) == 0
	p.mu.Unlock()
	if idle {
		p.wg.Wait()
	}
}
