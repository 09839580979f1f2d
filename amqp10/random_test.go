package amqp10

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// randomPair does what it likes at both ends of a connection.
type randomPair struct {
	t     *testing.T
	dice  sync.Mutex
	rng   *rand.Rand
	pair  *pair
	conns []*Conn

	mu       sync.Mutex
	sessions []*Session
	senders  []*Sender
	recvs    []*Receiver
	held     []*Delivery
	requests []*LinkRequest
	sent     int
	done     int
}

// Two ends that attach, send, settle, drain, detach and end at random, all at
// the same time, never break the protocol, and leave nothing behind.
func TestA14_RandomEndsAgree(t *testing.T) {
	seeds := uint64(100)
	if testing.Short() {
		seeds = 10
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { runRandom(t, seed) })
		})
	}
}

func runRandom(t *testing.T, seed uint64) {
	r := &randomPair{t: t, rng: rand.New(rand.NewPCG(seed, 1))}
	limits := Limits{FrameSize: 512 << r.roll(4), Window: 2 + r.roll(50), Held: 20_000, Outgoing: 5000,
		Unsettled: 1 + r.roll(100), Links: 1 + r.roll(20), Sessions: 1 + r.roll(4)}
	if seed%2 == 0 {
		limits.Sessions = 1000 // both ends begin, and neither may be out of channels when the other does
	}
	h := handler{attach: r.attach}
	r.pair = connect(t, &Server{Limits: limits}, ClientConfig{Limits: limits, Handler: h}, h)
	synctest.Wait()
	r.conns = []*Conn{r.pair.client}
	if seed%2 == 0 {
		r.conns = append(r.conns, r.pair.server)
	}
	for range 400 {
		r.step()
		if r.roll(3) == 0 {
			synctest.Wait()
		}
	}
	r.finish()
}

func (r *randomPair) finish() {
	r.mu.Lock()
	open := slices.Clone(r.requests)
	r.mu.Unlock()
	for _, q := range open {
		q.Refuse(nil)
	}
	_ = r.pair.client.Close(r.t.Context())
	if err := <-r.pair.ended; err != nil {
		r.t.Errorf("the server's end ended with %v", err)
	}
	if err := r.pair.client.Err(); err != nil {
		r.t.Errorf("the client's end ended with %v", err)
	}
	for _, d := range r.held {
		d.Release()
	}
	if r.done != r.sent {
		r.t.Errorf("%d messages were taken, %d heard of", r.sent, r.done)
	}
	for name, c := range map[string]*Conn{"client": r.pair.client, "server": r.pair.server} {
		if c.partial != 0 || c.pending != 0 || c.links != 0 && c.closeRcvd && len(c.names) > 0 {
			r.t.Errorf("%s: %d bytes partial, %d pending, %d links", name, c.partial, c.pending, c.links)
		}
	}
}

// attach answers at once, later, or not at all.
func (r *randomPair) attach(q *LinkRequest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch r.roll(4) {
	case 0:
		r.requests = append(r.requests, q)
	case 1:
		q.Refuse(Errorf(ErrNotFound, "not today"))
	default:
		r.accept(q)
	}
}

func (r *randomPair) accept(q *LinkRequest) {
	closed := r.countClose()
	if q.Role == RoleSender {
		r.keepSender(q.AcceptSender(SenderConfig{OnClose: closed}))
		return
	}
	r.recvs = append(r.recvs, q.AcceptReceiver(ReceiverConfig{Window: uint32(r.roll(20)), OnDelivery: r.hold, OnClose: closed}))
}

// countClose expects one call of an OnClose, for links that were agreed on.
func (r *randomPair) countClose() func(error) {
	called := false
	return func(error) {
		if called {
			r.t.Error("OnClose was called twice")
		}
		called = true
	}
}

func (r *randomPair) keepSender(s *Sender) { r.senders = append(r.senders, s) }

func (r *randomPair) hold(d *Delivery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held = append(r.held, d)
}

// step does one thing.
func (r *randomPair) step() {
	switch n := r.roll(100); {
	case n < 4:
		go r.begin()
	case n < 14:
		go r.attachOwn()
	case n < 45:
		r.send()
	case n < 75:
		r.settle()
	case n < 80:
		r.answer()
	case n < 90:
		r.credit()
	case n < 95:
		r.detach()
	case n < 96:
		r.endSession()
	default:
		time.Sleep(time.Duration(r.roll(50)) * time.Millisecond)
	}
}

// roll is rand.IntN for many goroutines.
func (r *randomPair) roll(n int) int {
	r.dice.Lock()
	defer r.dice.Unlock()
	return r.rng.IntN(n)
}

func pick[T any](r *randomPair, all *[]T) (v T, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(*all) == 0 {
		return v, false
	}
	return (*all)[r.roll(len(*all))], true
}

func (r *randomPair) begin() {
	c, _ := pick(r, &r.conns)
	s, err := c.NewSession(r.t.Context())
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sessions = append(r.sessions, s)
}

func (r *randomPair) attachOwn() {
	s, ok := pick(r, &r.sessions)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Duration(r.roll(50))*time.Millisecond)
	defer cancel()
	r.mu.Lock()
	name := fmt.Sprint(r.roll(30))
	sender, second := r.roll(2) == 0, ReceiverSettleMode(r.roll(2))
	window, closed := uint32(r.roll(10)), r.countClose()
	r.mu.Unlock()
	if sender {
		snd, err := s.AttachSender(ctx, SenderConfig{Name: name, ReceiverMode: &second, OnClose: closed})
		r.check(err)
		r.mu.Lock()
		defer r.mu.Unlock()
		if err == nil {
			r.keepSender(snd)
		}
		return
	}
	rcv, err := s.AttachReceiver(ctx, ReceiverConfig{Name: name, ReceiverMode: &second, Window: window, OnDelivery: r.hold, OnClose: closed})
	r.check(err)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.recvs = append(r.recvs, rcv)
	}
}

// check lets through what may happen to a link that its ends treat so.
func (r *randomPair) check(err error) {
	var e *Error
	if err != nil && !errors.As(err, &e) && !errors.Is(err, net.ErrClosed) && !errors.Is(err, context.DeadlineExceeded) {
		r.t.Errorf("attach: %v", err)
	}
}

func (r *randomPair) send() {
	s, ok := pick(r, &r.senders)
	if !ok {
		return
	}
	finished := false
	err := s.Send(Outgoing{Payload: make([]byte, r.roll(3000)), Settled: r.roll(5) == 0, Done: func(Outcome, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if finished {
			r.t.Error("Done was called twice")
		}
		finished = true
		r.done++
	}})
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.sent++
	}
}

func (r *randomPair) settle() {
	r.mu.Lock()
	if len(r.held) == 0 {
		r.mu.Unlock()
		return
	}
	i := r.roll(len(r.held))
	d := r.held[i]
	r.held = append(r.held[:i], r.held[i+1:]...)
	o := []Outcome{Accepted, Released, Rejected(nil), Modified(true, false), {}}[r.roll(5)]
	r.mu.Unlock()
	d.Settle(o)
}

func (r *randomPair) answer() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.requests) > 0 {
		q := r.requests[0]
		r.requests = r.requests[1:]
		r.accept(q)
	}
}

func (r *randomPair) credit() {
	if rcv, ok := pick(r, &r.recvs); ok {
		if r.roll(3) == 0 {
			go func() { _ = rcv.Drain(r.t.Context()) }()
			return
		}
		rcv.IssueCredit(uint32(r.roll(10)))
	}
}

func (r *randomPair) detach() {
	var why *Error
	if r.roll(2) == 0 {
		why = Errorf(ErrDetachForced, "at random")
	}
	if s, ok := pick(r, &r.senders); ok && r.roll(4) == 0 {
		go func() { _ = s.Close(r.t.Context()) }()
	} else if ok && r.roll(2) == 0 {
		s.CloseWith(why)
	} else if rcv, ok := pick(r, &r.recvs); ok {
		rcv.CloseWith(why)
	}
}

func (r *randomPair) endSession() {
	if s, ok := pick(r, &r.sessions); ok {
		go func() { _ = s.Close(r.t.Context()) }()
	}
}
