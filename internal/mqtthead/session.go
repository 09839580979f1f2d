package mqtthead

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"sluice/iot"
	"sluice/mqtt"
)

// session is one connection of one identity. While nothing happens it has no
// goroutine and no buffer.
type session struct {
	head *Head
	id   iot.Identity
	hub  iot.Session // set by begin
	conn *mqtt.Conn
	keep bool        // clean session 0: subscriptions outlive the connection
	over atomic.Bool // the hub has ended the session

	life context.Context // ends with the connection
	stop context.CancelFunc

	out         outbox
	twin        line // twin requests, one at a time and in order
	settles     line // of deliveries
	settling    context.Context
	stopSettles context.CancelFunc

	twinRequests atomic.Int32 // that wait or are served

	mu   sync.Mutex
	subs Subscriptions // guarded by mu; changed by the connection's goroutine alone

	// Owned by the connection's goroutine.
	flow    *flow // of commands or inputs; nil if not subscribed
	methods *methodDesk
	desired iot.Subscription
}

const (
	// settleWidth is how many deliveries of one session are settled at a time,
	// so that they share what the hub does to make that durable.
	settleWidth = 8
	// settleGrace is how long after the end of the connection the hub may take
	// to settle what the client had acknowledged.
	settleGrace = 3 * time.Second
)

func newSession(h *Head, id iot.Identity, conn *mqtt.Conn, keep bool) *session {
	s := &session{head: h, id: id, conn: conn, keep: keep}
	s.life, s.stop = context.WithCancel(context.Background())
	s.settling, s.stopSettles = context.WithCancel(context.Background())
	s.out.conn = conn
	s.twin.width = 1
	s.settles.width = settleWidth
	return s
}

// begin connects to the hub and restores what is kept of the identity's session,
// or, with clean session 1, forgets it [MQTT-3.1.2-6]. A session without
// subscriptions is as good as none, and is not reported as present. After an
// error nothing of the session is left.
func (s *session) begin(ctx context.Context, creds iot.Credentials, client iot.Client) (present bool, err error) {
	s.hub, err = s.head.hub.Connect(ctx, creds, client)
	if err != nil {
		s.stop()
		s.stopSettles()
		return false, err
	}
	if present, err = s.restore(ctx); err != nil {
		s.end()
	}
	return present, err
}

func (s *session) restore(ctx context.Context) (present bool, err error) {
	store := s.head.opt.Sessions
	kept, err := store.Load(ctx, s.id)
	if err != nil {
		return false, s.failed("restore subscriptions", err)
	}
	if !s.keep {
		if kept == 0 {
			return false, nil
		}
		return false, s.failed("forget subscriptions", store.Save(ctx, s.id, 0))
	}
	for k := range kinds {
		if q := kept.qos(k); q != mqtt.Refused {
			if _, err := s.grant(k, q); err != nil {
				return false, err
			}
		}
	}
	return s.subscriptions() != 0, nil
}

// ended is told by the hub that it has ended the session.
func (s *session) ended(reason error) {
	s.over.Store(true)
	s.conn.Close(reason)
}

// failed says what could not be done, if err says that it could not. Without a
// kind of its own it may be tried later.
func (s *session) failed(op string, err error) error {
	var known *iot.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	return &iot.Error{Kind: iot.Unavailable, Op: op, Identity: s.id, Err: err}
}

// Ready implements [mqtt.Session].
func (s *session) Ready() { s.out.flush() }

// Closed implements [mqtt.Session]. The will is published before the hub's
// session is closed.
func (s *session) Closed(_ error, will *mqtt.Message) {
	s.head.places.leave(s)
	if will != nil {
		s.publishWill(will)
	}
	s.end()
}

// end lets go of everything, and returns when nothing of the session runs. What
// the client has acknowledged is settled first: it is not to come again.
func (s *session) end() {
	s.stop()
	s.out.close()
	if s.methods != nil {
		s.methods.calls.Close()
	}
	grace := time.AfterFunc(settleGrace, s.stopSettles)
	s.settles.wait()
	grace.Stop()
	s.stopSettles()
	if err := s.hub.Close(); err != nil {
		s.head.log.Warn("mqtthead: close session", "identity", s.id.String(), "err", err)
	}
	s.twin.wait()
}

// subscriptions returns what the client is subscribed to now.
func (s *session) subscriptions() Subscriptions {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.subs
}

func (s *session) setSubscriptions(subs Subscriptions) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subs = subs
}

// operate returns a context for one call of the hub.
func (s *session) operate(life context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(life, s.head.opt.OperationTimeout)
}
