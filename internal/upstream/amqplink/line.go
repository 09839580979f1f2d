package amqplink

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"sluice/amqp10"
	"sluice/iot"
)

// A line is one connection.
type line struct {
	pool   *Pool
	giveUp context.CancelFunc // ends dialing
	ready  chan struct{}      // closed when conn or err is set
	conn   *amqp10.Conn
	err    error
	tokens tokenDesk
	heard  atomic.Int64 // when the hub last answered something, in ns since 1970

	// Guarded by pool.mu.
	users    int // sessions, and those that are about to be
	sessions map[*session]struct{}
	lanes    []*lane
	gone     bool
}

// maxLanes is how many AMQP sessions a connection may have, beside the peer's own
// limit.
const maxLanes = 1000

// maxHeld is how many bytes of commands may be unsettled on one connection before
// nothing more is read from it. It is large, since one slow device must not stop
// the others; each device's grants bound what it has.
const maxHeld = 256 << 20

// line returns a connection with room for one more session, which is counted. All
// who come while it is being dialed wait for the same one.
func (p *Pool) line(ctx context.Context) (*line, error) {
	p.mu.Lock()
	var l *line
	for _, has := range p.lines {
		if has.users < p.cfg.Identities {
			l = has
			break
		}
	}
	if l == nil {
		l = p.dial()
	}
	l.users++
	p.mu.Unlock()
	select {
	case <-l.ready:
		if l.err == nil {
			return l, nil
		}
		l.release()
		return nil, l.err
	case <-ctx.Done():
		l.release()
		return nil, ctx.Err()
	}
}

// dial makes a connection. It is dialed for whoever wants it, so no caller's
// context ends that: it is given up when nobody waits any more. [p.mu held]
func (p *Pool) dial() *line {
	ctx, giveUp := context.WithTimeout(context.Background(), p.cfg.ConnectTimeout)
	l := &line{pool: p, giveUp: giveUp, ready: make(chan struct{}), sessions: make(map[*session]struct{})}
	l.tokens.line = l
	p.lines = append(p.lines, l)
	p.wg.Go(func() { l.run(ctx) })
	return l
}

// run opens the connection and returns when it has ended.
func (l *line) run(ctx context.Context) {
	err := l.open(ctx)
	l.giveUp()
	if err != nil {
		l.leave()
		l.err = err
		close(l.ready)
		return
	}
	l.answered()
	close(l.ready)
	l.closeIfUnused()
	l.watch()
}

func (l *line) open(ctx context.Context) error {
	cfg := &l.pool.cfg
	nc, err := cfg.Dial(ctx)
	if err != nil {
		return err
	}
	l.conn, err = amqp10.NewConn(ctx, nc, amqp10.ClientConfig{
		Hostname: cfg.HostName,
		Login:    amqp10.LoginMSSBCBS(),
		Handler:  l,
		Limits: amqp10.Limits{
			Handshake: cfg.ConnectTimeout,
			Idle:      cfg.KeepAlive / 2, // silence is noticed after twice as long
			Sessions:  maxLanes,
			Links:     8 * max(cfg.Identities, 64),
			Outgoing:  4 << 20,
			Held:      maxHeld,
			Unsettled: 16 << 10,
		},
		Log: cfg.Log,
	})
	return err
}

// Attach implements [amqp10.Handler]: a hub attaches nothing of its own accord.
func (l *line) Attach(r *amqp10.LinkRequest) {
	r.Refuse(amqp10.Errorf(amqp10.ErrNotAllowed, "this end takes no links"))
}

// Closed implements [amqp10.Handler]: with the connection its sessions end.
func (l *line) Closed(err error) {
	for _, s := range l.leave() {
		s.end(lost(s.id, err))
	}
}

// movedAway is what a hub says that is not the hub any more, after a failover.
const movedAway amqp10.Condition = "com.microsoft:iot-hub-not-found-error"

// heed closes the connection if an error says that the hub is elsewhere now: the
// next one finds it by its name.
func (l *line) heed(err error) {
	if errors.Is(err, &amqp10.Error{Condition: movedAway}) {
		l.conn.CloseWith(amqp10.Errorf(amqp10.ErrConnectionForced, "the hub has moved"))
	}
}

// operate returns a context for one exchange with the hub, and what is called at
// its end: if it took all the time that there is, the connection is in doubt.
func (l *line) operate(ctx context.Context) (context.Context, func()) {
	began := time.Now()
	limit := l.pool.cfg.OperationTimeout
	ctx, cancel := context.WithTimeout(ctx, limit)
	return ctx, func() {
		cancel()
		if time.Since(began) >= limit {
			l.doubt(began)
		}
	}
}

// leave takes the connection out of the pool, so that nothing new begins on it,
// and returns the sessions that it had.
func (l *line) leave() []*session {
	p := l.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	l.gone = true
	p.lines = slices.DeleteFunc(p.lines, func(other *line) bool { return other == l })
	left := make([]*session, 0, len(l.sessions))
	for s := range l.sessions {
		left = append(left, s)
	}
	return left
}

// join makes a session known, unless the connection has ended. An earlier session
// of the identity, on whichever connection, is ended.
func (l *line) join(s *session) error {
	p := l.pool
	p.mu.Lock()
	if l.gone {
		p.mu.Unlock()
		return iot.Errorf(iot.Unavailable, "connect", s.id, "the connection was lost")
	}
	older := p.byID[s.id]
	l.sessions[s] = struct{}{}
	p.byID[s.id] = s
	p.mu.Unlock()
	if older != nil {
		older.end(iot.ErrTakenOver)
	}
	return nil
}

// part forgets a session that has ended. Its place is given back by release.
func (l *line) part(s *session) {
	p := l.pool
	p.mu.Lock()
	delete(l.sessions, s)
	if p.byID[s.id] == s {
		delete(p.byID, s.id)
	}
	p.mu.Unlock()
}

// release gives a place on the connection back. Without any user it is closed.
func (l *line) release() {
	l.pool.mu.Lock()
	l.users--
	l.pool.mu.Unlock()
	l.closeIfUnused()
}

// closeIfUnused takes a connection without users out of the pool, and closes it or
// gives up dialing it.
func (l *line) closeIfUnused() {
	p := l.pool
	p.mu.Lock()
	unused := l.users == 0
	if unused {
		l.gone = true
		p.lines = slices.DeleteFunc(p.lines, func(other *line) bool { return other == l })
	}
	p.mu.Unlock()
	if !unused {
		return
	}
	select {
	case <-l.ready:
		if l.conn != nil {
			l.conn.CloseWith(nil)
		}
	default:
		l.giveUp() // run closes what comes of it
	}
}
