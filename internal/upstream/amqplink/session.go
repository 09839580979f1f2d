package amqplink

import (
	"context"
	"crypto/rand"
	"sync"

	"sluice/amqp10"
	"sluice/iot"
)

// apiVersion is what edgeHub uses towards a hub.
const apiVersion = "2021-04-12"

// session is one identity on a line.
type session struct {
	line   *line
	lane   *lane // nil until open
	id     iot.Identity
	client iot.Client
	chain  string

	out telemetry

	// attaching serializes the first uses of links.
	attaching sync.Mutex

	mu       sync.Mutex
	reason   error         // set once the session has ended
	ended    chan struct{} // closed then
	opened   bool          // Connect has succeeded
	closed   bool          // by Close
	commands *commands     // or inputs; nil until they are asked for
	calls    *calls
	twin     *twinDesk
}

var _ iot.Session = (*session)(nil)

// newSession takes over a place on the line.
func newSession(l *line, creds iot.Credentials, client iot.Client) *session {
	s := &session{line: l, id: creds.Identity, client: client, chain: creds.AuthChain, ended: make(chan struct{})}
	s.out.init(s)
	return s
}

// open proves the identity, and attaches the link for telemetry.
func (s *session) open(ctx context.Context, creds iot.Credentials) error {
	if creds.Token == "" {
		return iot.Errorf(iot.Invalid, "connect", s.id, "there is no token")
	}
	if err := s.line.join(s); err != nil {
		return err
	}
	if err := s.line.tokens.put(ctx, s.id, creds.Token); err != nil {
		return err
	}
	lane, err := s.line.lane(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.lane = lane
	over := s.reason
	s.mu.Unlock()
	if over != nil {
		lane.leave()
		return over
	}
	if err := s.out.attach(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened = true
	return s.reason
}

func (s *session) Identity() iot.Identity { return s.id }

// Renew puts another token. The links stay.
func (s *session) Renew(ctx context.Context, creds iot.Credentials) error {
	if err := s.err(); err != nil {
		return err
	}
	if creds.Identity != s.id {
		return iot.Errorf(iot.Invalid, "renew", s.id, "the credentials are those of %v", creds.Identity)
	}
	select {
	case s.line.pool.turns <- struct{}{}:
		defer func() { <-s.line.pool.turns }()
	case <-ctx.Done():
		return failure("renew", s.id, ctx.Err())
	}
	ctx, done := s.operate(ctx)
	defer done()
	return failure("renew", s.id, s.line.tokens.put(ctx, s.id, creds.Token))
}

// operate returns a context for one exchange with the hub, and what is called at
// its end.
func (s *session) operate(ctx context.Context) (context.Context, func()) { return s.line.operate(ctx) }

func (s *session) err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reason
}

// Close detaches the links. Batches that the hub has not accepted by then fail.
func (s *session) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.end(iot.ErrClosed)
	return nil
}

// linkClosed is the OnClose of every link.
func (s *session) linkClosed(err error) { s.end(lost(s.id, err)) }

// end ends the session, once, and tells its owner unless the owner did it.
func (s *session) end(reason error) {
	s.mu.Lock()
	if s.reason != nil {
		s.mu.Unlock()
		return
	}
	s.reason = reason
	close(s.ended)
	lane, commands, calls, twin := s.lane, s.commands, s.calls, s.twin
	tell := s.opened && !s.closed && s.client.Ended != nil
	s.mu.Unlock()
	s.line.part(s)
	s.line.heed(reason)
	s.out.close(reason)
	if commands != nil {
		commands.Close()
	}
	if calls != nil {
		calls.Close()
	}
	if twin != nil {
		twin.links.close()
	}
	if lane != nil {
		lane.leave()
	}
	s.line.release()
	if tell {
		s.client.Ended(reason)
	}
}

// channel returns the AMQP session for further links.
func (s *session) channel() (*amqp10.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reason != nil {
		return nil, s.reason
	}
	return s.lane.amqp, nil
}

// link are the properties of a link, as the SDKs give them.
func (s *session) link(correlation string) amqp10.Fields {
	f := amqp10.Fields{{Key: "com.microsoft:api-version", Value: apiVersion}}
	for _, p := range []struct {
		key  amqp10.Symbol
		text string
	}{
		{"com.microsoft:client-version", s.client.Product},
		{"com.microsoft:auth-chain", s.chain},
		{"com.microsoft:model-id", s.client.ModelID},
		{"com.microsoft:channel-correlation-id", correlation},
	} {
		if p.text != "" {
			f.Set(p.key, p.text)
		}
	}
	return f
}

// linkName is unique: the same name would take an older link over.
func (s *session) linkName(kind string) string { return s.id.String() + "/" + kind + "-" + rand.Text() }
