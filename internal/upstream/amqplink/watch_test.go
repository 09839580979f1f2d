package amqplink

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/amqp10"
	"sluice/iot"
)

// A deaf connection takes what is written and drops it, from a moment on.
type deaf struct {
	net.Conn
	now *atomic.Bool
}

func (d deaf) Write(b []byte) (int, error) {
	if d.now.Load() {
		return len(b), nil
	}
	return d.Conn.Write(b)
}

// A halfLine is a hub and a client on a line each of whose directions can die, in
// memory.
type halfLine struct {
	*fakeHub
	up, down atomic.Bool // dead
	dials    atomic.Int32
	ended    chan error
}

func newHalfLine(t *testing.T) (h *halfLine, session iot.Session) {
	h = &halfLine{fakeHub: &fakeHub{t: t}, ended: make(chan error, 1)}
	ctx, stop := context.WithCancel(context.Background())
	server := &amqp10.Server{Mechanisms: []*amqp10.Mechanism{amqp10.MSSBCBS(nil)}, Open: h.open}
	served := make(chan struct{})
	p := New(Config{HostName: hubName, Dial: func(context.Context) (net.Conn, error) {
		near, far := net.Pipe()
		h.dials.Add(1)
		go func() {
			_ = server.ServeConn(ctx, deaf{far, &h.down}) // its end is seen at the other
			served <- struct{}{}
		}()
		return deaf{near, &h.up}, nil
	}})
	t.Cleanup(func() {
		p.Close()
		stop()
		for range h.dials.Load() {
			<-served
		}
	})
	session, err := p.Connect(t.Context(), creds(leaf), iot.Client{Ended: func(err error) { h.ended <- err }})
	if err != nil {
		t.Fatal(err)
	}
	return h, session
}

// Whichever direction dies, and whether there is something to send or not, the
// uplink notices within a minute and the sender is told.
func TestU4_ALineThatIsDeadInOneDirection(t *testing.T) {
	for name, tt := range map[string]struct{ up, down, sends bool }{
		"nothing arrives, nothing is sent":         {true, false, false},
		"nothing arrives of what is sent":          {true, false, true},
		"nothing comes, nothing is sent":           {false, true, false},
		"nothing comes in answer to what was sent": {false, true, true},
		"neither": {true, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, session := newHalfLine(t)
				time.Sleep(10 * time.Minute) // a quiet line is not a dead one
				if h.dials.Load() != 1 || len(h.ended) != 0 {
					t.Fatalf("%d connections, %d ended", h.dials.Load(), len(h.ended))
				}
				done := make(chan error, 1)
				h.up.Store(tt.up)
				h.down.Store(tt.down)
				began := time.Now()
				if tt.sends {
					session.Send(body1("x"), func(err error) { done <- err })
				}
				if err := <-h.ended; iot.KindOf(err) != iot.Unavailable && iot.KindOf(err) != iot.Timeout {
					t.Errorf("ended with %v", err)
				}
				if took := time.Since(began); took > time.Minute {
					t.Errorf("noticed after %v", took)
				}
				if tt.sends && <-done == nil {
					t.Error("what nobody has taken is safe")
				}
				h.up.Store(false)
				h.down.Store(false)
			})
		})
	}
}

// That the hub answered something just before does not make the connection a good
// one.
func TestADeadLineIsNoticedThoughItAnsweredJustBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, s := newHalfLine(t)
		h.up.Store(true)
		began := time.Now()
		s.Send(body1("x"), func(error) {})
		time.Sleep(time.Second)
		l := s.(*session).line
		l.answered() // what was sent before
		<-l.conn.Done()
		if took := time.Since(began); took > time.Minute {
			t.Errorf("noticed after %v", took)
		}
		h.up.Store(false)
	})
}
