package mqtthead

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"sluice/iot"
	"sluice/mqtt"
)

// session is one connection of one identity. While nothing happens it has no
// goroutine and no buffer.
type session struct {
	head *Head
	id   iot.Identity
	hub  iot.Session
	conn *mqtt.Conn
	keep bool // clean session 0: subscriptions outlive the connection

	life context.Context // ends with the connection
	stop context.CancelFunc

	out     outbox
	twin    line // twin requests, one at a time and in order
	settles line // of deliveries

	twinRequests atomic.Int32 // that wait or are served

	mu   sync.Mutex
	subs Subscriptions // guarded by mu; changed by the connection's goroutine alone

	// Owned by the connection's goroutine.
	flow    *flow // of commands or inputs; nil if not subscribed
	methods *methodDesk
	desired iot.Subscription
}

// settleWidth is how many deliveries of one session are settled at a time, so
// that they share what the hub does to make that durable.
const settleWidth = 8

func newSession(h *Head, hub iot.Session, conn *mqtt.Conn, keep bool) *session {
	s := &session{head: h, id: hub.Identity(), hub: hub, conn: conn, keep: keep}
	s.life, s.stop = context.WithCancel(context.Background())
	s.out.conn = conn
	s.twin.width = 1
	s.settles.width = settleWidth
	return s
}

// begin restores what is kept of the identity's session, or, with clean session
// 1, forgets it [MQTT-3.1.2-6]. A session without subscriptions is as good as
// none, and is not reported as present.
func (s *session) begin(ctx context.Context) (present bool, err error) {
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
			if err := s.subscribe(k, q); err != nil {
				return false, err
			}
		}
	}
	return kept != 0, nil
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
// session is closed, or, if another connection of the identity has taken over,
// under that one: it is the same sender.
func (s *session) Closed(reason error, will *mqtt.Message) {
	successor := s.head.leave(s)
	if will != nil {
		through := s.hub
		if successor != nil {
			through = successor.hub
		}
		s.publishWill(through, will)
	}
	s.end()
}

// end lets go of everything, and returns when nothing of the session runs.
func (s *session) end() {
	s.stop()
	s.out.close()
	if s.methods != nil {
		s.methods.close()
	}
	if err := s.hub.Close(); err != nil {
		s.head.log.Warn("mqtthead: close session", "identity", s.id.String(), "err", err)
	}
	s.twin.wait()
	s.settles.wait()
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
func (s *session) operate() (context.Context, context.CancelFunc) {
	return context.WithTimeout(s.life, s.head.opt.OperationTimeout)
}
