package mqttlink

import (
	"context"
	"errors"

	"sluice/iot"
)

var (
	errRenewed = errors.New("the connection was replaced to renew its token")
	errLost    = errors.New("the connection was lost at once")
)

// Renew opens another connection with the new credentials, since in MQTT 3.1.1 a
// connection lives with the token that it logged in with. The hub ends the older
// one; the session goes on. Messages wait meanwhile. Commands that are not settled
// come again, and twin requests under way fail.
//
// If the hub refuses the credentials the session lives on as it was, as long as
// its connection does.
func (s *session) Renew(ctx context.Context, creds iot.Credentials) error {
	if creds.Identity != s.id {
		return iot.Errorf(iot.Invalid, "renew", s.id, "the credentials are those of %v", creds.Identity)
	}
	s.using.Lock()
	defer s.using.Unlock()
	taken, err := s.quiet(ctx)
	defer func() {
		for range taken {
			<-s.window
		}
	}()
	if err != nil {
		return err
	}
	return s.replace(ctx, creds)
}

// quiet takes the whole window, so that nothing is under way.
func (s *session) quiet(ctx context.Context) (taken int, err error) {
	for range cap(s.window) {
		select {
		case s.window <- struct{}{}:
			taken++
		case <-s.ended:
			return taken, s.err()
		case <-ctx.Done():
			return taken, timely("renew", s.id, ctx.Err())
		}
	}
	return taken, nil
}

func (s *session) replace(ctx context.Context, creds iot.Credentials) error {
	s.mu.Lock()
	old := s.conn
	s.renewing = true
	s.mu.Unlock()
	conn, err := s.connect(ctx, creds)
	s.mu.Lock()
	s.renewing = false
	broken, over := s.broken, s.reason
	s.broken = nil
	if err == nil && over == nil {
		s.conn = conn
	}
	commands, filters := s.commands, s.filters
	s.mu.Unlock()
	switch {
	case over != nil:
		if conn != nil {
			conn.Disconnect(0)
		}
		return over
	case err != nil:
		if broken != nil {
			s.end(broken)
		}
		return err
	}
	old.Disconnect(0)
	if !conn.IsConnectionOpen() { // lost before it was the session's
		err := unreachable("renew", s.id, errLost)
		s.end(err)
		return err
	}
	s.failRequests(unreachable("twin", s.id, errRenewed))
	if commands != nil {
		commands.renewed()
	}
	return s.resubscribe(ctx, conn, filters)
}

// resubscribe brings a new connection to where the older one was. A session that
// would miss something ends.
func (s *session) resubscribe(ctx context.Context, conn *connection, filters []filter) error {
	ctx, cancel := s.operate(ctx)
	defer cancel()
	for _, f := range filters {
		if err := s.subscribeOn(ctx, "renew", conn, f); err != nil {
			s.end(err)
			return err
		}
	}
	return nil
}
