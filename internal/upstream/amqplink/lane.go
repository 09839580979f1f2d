package amqplink

import (
	"context"
	"slices"

	"sluice/amqp10"
)

// A lane is an AMQP session. It belongs to one identity, unless the connection has
// more identities than channels.
type lane struct {
	line  *line
	ready chan struct{} // closed when amqp or err is set
	amqp  *amqp10.Session
	err   error
	users int // guarded by pool.mu
}

// lane returns an AMQP session, which the caller gives back with leave.
func (l *line) lane(ctx context.Context) (*lane, error) {
	p := l.pool
	p.mu.Lock()
	most := min(maxLanes, int(l.conn.Peer().ChannelMax)+1)
	var a *lane
	if len(l.lanes) >= most {
		a = slices.MinFunc(l.lanes, func(a, b *lane) int { return a.users - b.users })
	}
	fresh := a == nil
	if fresh {
		a = &lane{line: l, ready: make(chan struct{})}
		l.lanes = append(l.lanes, a)
	}
	a.users++
	p.mu.Unlock()
	if fresh {
		a.amqp, a.err = l.conn.NewSession(ctx)
		close(a.ready)
	}
	select {
	case <-a.ready:
	case <-ctx.Done():
		a.leave()
		return nil, ctx.Err()
	}
	if a.err != nil {
		a.leave()
		return nil, a.err
	}
	return a, nil
}

// leave ends the AMQP session, and its links, when nobody uses it any more.
func (a *lane) leave() {
	l := a.line
	l.pool.mu.Lock()
	a.users--
	last := a.users == 0
	if last {
		l.lanes = slices.DeleteFunc(l.lanes, func(other *lane) bool { return other == a })
	}
	l.pool.mu.Unlock()
	if last && a.amqp != nil {
		a.amqp.CloseWith(nil)
	}
}
