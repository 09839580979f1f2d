package amqp10

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"sluice/amqp10/internal/frame"
)

func TestLimitsOutOfRangeAreRefused(t *testing.T) {
	for name, l := range map[string]Limits{
		"idle":       {Idle: time.Millisecond},
		"handshake":  {Handshake: -1},
		"frame size": {FrameSize: 511},
		"sessions":   {Sessions: 65537},
		"links":      {Links: -1},
		"held":       {Held: -1},
	} {
		ours, theirs := net.Pipe()
		if err := (&Server{Limits: l}).ServeConn(t.Context(), ours); err == nil {
			t.Errorf("%s: served", name)
		}
		if _, err := NewConn(t.Context(), theirs, ClientConfig{Limits: l}); err == nil {
			t.Errorf("%s: opened", name)
		}
		if _, err := theirs.Write([]byte{0}); err == nil {
			t.Errorf("%s: the connection was left open", name)
		}
		if err := (&Server{Limits: l}).Serve(t.Context(), nil); err == nil {
			t.Errorf("%s: served", name)
		}
	}
}

// listener returns errors before it is closed.
type listener struct {
	errs   []error
	closed chan struct{}
	once   sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	if len(l.errs) > 0 {
		err := l.errs[0]
		l.errs = l.errs[1:]
		return nil, err
	}
	<-l.closed
	return nil, net.ErrClosed
}

func (l *listener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *listener) Addr() net.Addr { return nil }

func TestServeOutlivesAShortageOfDescriptors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		l := &listener{errs: []error{syscall.EMFILE, syscall.EMFILE}, closed: make(chan struct{})}
		if err := (&Server{}).Serve(ctx, l); !errors.Is(err, context.DeadlineExceeded) || len(l.errs) != 0 {
			t.Errorf("Serve = %v", err)
		}
		l = &listener{errs: []error{syscall.EINVAL}, closed: make(chan struct{})}
		if err := (&Server{}).Serve(ctx, l); err == nil {
			t.Error("Serve returned nil for a listener that fails")
		}
	})
}

// conversation is what a peer sends from its first byte to its close.
func conversation() []byte {
	b := append([]byte(frame.ProtoSASL), appended(initFrame(frame.Init{Mechanism: MechanismAnonymous}))...)
	b = append(b, frame.ProtoAMQP...)
	return append(b, appended(open(nil), begin(0), sendingLink("l", 0), whole(0, 0), frame.Empty, whole(0, 1),
		part(frame.Transfer{DeliveryID: frame.Some(uint32(2)), Tag: []byte("t"), More: true}, payload("ab")[:4]),
		part(frame.Transfer{}, payload("ab")[4:]), detach(0), endSession, closeConn)...)
}

// received is what a handler gets of a conversation that is sent by send, and
// how it ended.
func received(t *testing.T, send func(net.Conn)) (got []string, err error) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		h := handler{attach: func(r *LinkRequest) {
			r.AcceptReceiver(ReceiverConfig{Window: 10, OnDelivery: func(d *Delivery) {
				got = append(got, string(d.Payload()))
				d.Accept()
			}})
		}}
		s := &Server{Mechanisms: []*Mechanism{Anonymous(nil)}, Open: func(*Conn) (Handler, error) { return h, nil }}
		go func() {
			buf := make([]byte, 1024)
			for {
				if _, err := theirs.Read(buf); err != nil {
					return
				}
			}
		}()
		go send(theirs)
		err = s.ServeConn(t.Context(), ours)
	})
	return got, err
}

func TestA1_AConversationCutAtEveryByte(t *testing.T) {
	all := conversation()
	want := []string{string(payload("x")), string(payload("x")), string(payload("ab"))}
	for cut := range len(all) + 1 {
		got, err := received(t, func(nc net.Conn) {
			_, _ = nc.Write(all[:cut])
			if cut < len(all) {
				_ = nc.Close()
			}
		})
		if len(got) > len(want) {
			t.Fatalf("cut at %d: %q", cut, got)
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("cut at %d: %q", cut, got)
			}
		}
		if (err == nil) != (cut == len(all)) {
			t.Errorf("cut at %d of %d: %v", cut, len(all), err)
		}
	}
	got, err := received(t, func(nc net.Conn) {
		for _, b := range all {
			_, _ = nc.Write([]byte{b})
		}
	})
	if err != nil || len(got) != len(want) || !bytes.Equal([]byte(got[2]), []byte(want[2])) {
		t.Errorf("byte by byte: %q, %v", got, err)
	}
}
