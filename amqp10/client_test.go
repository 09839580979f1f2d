package amqp10

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"sluice/amqp10/internal/frame"
	"sluice/amqp10/internal/wire"
)

// silent is the other end of a client, that says what it is given and no more.
func silent(says ...[]byte) net.Conn {
	ours, theirs := net.Pipe()
	go func() {
		buf := make([]byte, 1024)
		for {
			if _, err := theirs.Read(buf); err != nil {
				return
			}
		}
	}()
	go func() {
		for _, b := range says {
			_, _ = theirs.Write(b)
		}
	}()
	return ours
}

func TestOpeningEndsWithItsContext(t *testing.T) {
	for name, says := range map[string][][]byte{
		"silence":   nil,
		"header":    {[]byte(frame.ProtoAMQP)},
		"SASL only": {[]byte(frame.ProtoSASL)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				nc := silent(says...)
				start := time.Now()
				if _, err := NewConn(ctx, nc, ClientConfig{}); err == nil {
					t.Fatal("opened")
				}
				if took := time.Since(start); took > 3*time.Second {
					t.Errorf("failed after %v", took)
				}
				if _, err := nc.Write([]byte{0}); err == nil {
					t.Error("the connection was left open")
				}
			})
		})
	}
}

func TestServersThatCloseInPlaceOfAnOpenAreUnderstood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := Errorf(ErrResourceLimit, "too many connections")
		w := appended(func(w *wire.Encoder) { frame.AppendClose(w, full) })
		_, err := NewConn(t.Context(), silent([]byte(frame.ProtoAMQP), w), ClientConfig{})
		var e *Error
		if !errors.As(err, &e) || e.Condition != ErrResourceLimit || e.Description != full.Description || !e.Remote {
			t.Errorf("NewConn = %v", err)
		}
	})
}

func TestAClientWithoutAHandlerRefusesLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := connect(t, &Server{}, ClientConfig{}, acceptAll(nil))
		defer p.close(t)
		synctest.Wait()
		s, err := p.server.NewSession(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.AttachSender(t.Context(), SenderConfig{}); !errors.Is(err, &Error{Condition: ErrNotAllowed}) {
			t.Errorf("AttachSender = %v", err)
		}
	})
}

// A link that is given up before its answer does not come back as another.
func TestAnAttachThatIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var late *LinkRequest
		h := handler{attach: func(r *LinkRequest) { late = r }}
		p := connect(t, &Server{}, ClientConfig{}, h)
		defer p.close(t)
		s := p.session(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		closed := func(error) { t.Error("OnClose of a link that never was") }
		if _, err := s.AttachSender(ctx, SenderConfig{Name: "l", OnClose: closed}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("AttachSender = %v", err)
		}
		synctest.Wait()
		if rcv := late.AcceptReceiver(ReceiverConfig{}); rcv.Err() != nil {
			t.Errorf("the receiver ended with %v", rcv.Err())
		}
		go func() {
			synctest.Wait()
			late.AcceptReceiver(ReceiverConfig{Window: 1, OnDelivery: (*Delivery).Accept})
		}()
		snd, err := s.AttachSender(t.Context(), SenderConfig{Name: "l"})
		if err != nil {
			t.Fatal(err)
		}
		if o, err := snd.Deliver(t.Context(), Outgoing{Payload: payload("x")}); err != nil || o.Kind != KindAccepted {
			t.Errorf("outcome %v, %v", o, err)
		}
		if err := errors.Join(snd.Close(t.Context()), s.Close(t.Context())); err != nil {
			t.Error(err)
		}
	})
}
