package amqp

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sluice/amqp10"

	amqp "github.com/Azure/go-amqp"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// open is a server with a go-amqp session on it.
func open(t *testing.T, s *amqp10.Server, o *amqp.ConnOptions) (*node, *amqp.Session) {
	t.Helper()
	n, addr := serve(t, s)
	c, err := amqp.Dial(within(t), "amqp://"+addr, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	session, err := c.NewSession(within(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	return n, session
}

func TestGoAMQPAuthenticates(t *testing.T) {
	plain := amqp10.Plain(func(_ context.Context, _ *amqp10.Conn, k amqp10.Credentials) (any, error) {
		if k.User != "ada" || k.Password != "lovelace" {
			return nil, errors.New("who?")
		}
		return k.User, nil
	})
	_, addr := serve(t, &amqp10.Server{Mechanisms: []*amqp10.Mechanism{plain, amqp10.Anonymous(nil)}})
	for name, tt := range map[string]struct {
		sasl amqp.SASLType
		ok   bool
	}{
		"plain":          {amqp.SASLTypePlain("ada", "lovelace"), true},
		"wrong password": {amqp.SASLTypePlain("ada", "byron"), false},
		"anonymous":      {amqp.SASLTypeAnonymous(), true},
		"external":       {amqp.SASLTypeExternal(""), false},
		"without SASL":   {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := amqp.Dial(within(t), "amqp://"+addr, &amqp.ConnOptions{SASLType: tt.sasl})
			if (err == nil) != tt.ok {
				t.Errorf("Dial = %v", err)
			}
			if err == nil {
				_ = c.Close()
			}
		})
	}
}

func sampleMessage() *amqp.Message {
	subject, to, id := "subject", "there", any("id-1")
	at := time.UnixMilli(1_700_000_000_123).UTC()
	return &amqp.Message{
		Header:      &amqp.MessageHeader{Durable: true, Priority: 7, TTL: time.Minute},
		Annotations: amqp.Annotations{"x-opt-a": int64(7), "x-opt-t": at},
		Properties:  &amqp.MessageProperties{MessageID: id, Subject: &subject, To: &to, CreationTime: &at, CorrelationID: amqp.UUID{1, 2}},
		ApplicationProperties: map[string]any{"s": "v", "i": int32(-5), "l": int64(1) << 40, "d": 1.5, "b": true,
			"u8": uint8(200), "u64": uint64(1) << 63, "nil": nil, "bin": []byte{1, 2}},
		Data: [][]byte{[]byte("hello")},
	}
}

func TestGoAMQPMessagesComeBackAsTheyWent(t *testing.T) {
	n, session := open(t, &amqp10.Server{}, nil)
	ctx := within(t)
	snd, err := session.NewSender(ctx, "q", nil)
	if err != nil {
		t.Fatal(err)
	}
	rcv, err := session.NewReceiver(ctx, "q", &amqp.ReceiverOptions{Credit: 10})
	if err != nil {
		t.Fatal(err)
	}
	big := make([]byte, 900<<10)
	_, _ = rand.Read(big)
	value := &amqp.Message{Value: map[string]any{"k": []any{int64(1), "x", []byte("y")}}}
	sequence := &amqp.Message{Sequence: [][]any{{int32(1), "a"}, {true}}}
	for name, m := range map[string]*amqp.Message{"full": sampleMessage(), "one byte": amqp.NewMessage([]byte{1}),
		"900 KB": amqp.NewMessage(big), "value": value, "sequence": sequence} {
		t.Run(name, func(t *testing.T) {
			if err := snd.Send(ctx, m, nil); err != nil {
				t.Fatal(err)
			}
			got, err := rcv.Receive(ctx, nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(m, got, cmp.Comparer(bytes.Equal), cmpopts.IgnoreUnexported(amqp.Message{}), cmpopts.IgnoreFields(amqp.Message{}, "DeliveryTag")); diff != "" {
				t.Errorf("(-sent +received):\n%.2000s", diff)
			}
			if err := rcv.AcceptMessage(ctx, got); err != nil {
				t.Error(err)
			}
		})
	}
	if left := n.left("q"); left != 0 {
		t.Errorf("%d messages are left", left)
	}
}

// Every type that go-amqp has, as a body and as a property.
func TestGoAMQPValuesOfEveryType(t *testing.T) {
	_, session := open(t, &amqp10.Server{}, nil)
	ctx := within(t)
	snd, err := session.NewSender(ctx, "q", nil)
	if err != nil {
		t.Fatal(err)
	}
	rcv, err := session.NewReceiver(ctx, "q", &amqp.ReceiverOptions{Credit: 10})
	if err != nil {
		t.Fatal(err)
	}
	simple := []any{
		nil, true, false, uint8(200), uint16(60_000), uint32(0), uint32(7), uint32(4e9), uint64(0), uint64(7), uint64(1) << 63,
		int8(-100), int16(-30_000), int32(-7), int32(-2e9), int64(-7), int64(-1) << 60, float32(1.5), -2.25,
		time.UnixMilli(1_700_000_000_123).UTC(), amqp.UUID{1, 15: 9}, []byte{0, 255}, bytes.Repeat([]byte{7}, 300), "grüße", strings.Repeat("x", 300), // a symbol it reads as text
	}
	compound := []any{
		[]any{int64(1), "x", []any{true, nil}}, map[string]any{"k": "v", "n": int64(1)}, map[any]any{int32(1): "one"},
		[]string{"a", "b"}, []amqp.Symbol{"a", "b"}, []int32{1, 2, 3}, []int64{-1, 1 << 40}, []uint32{7}, []float64{1.5}, []bool{true, false},
		[]time.Time{time.UnixMilli(5).UTC()}, []amqp.UUID{{1}, {2}},
	}
	for i, v := range append(simple, compound...) {
		m := &amqp.Message{Value: v, Annotations: amqp.Annotations{"x-opt-v": v}}
		if i < len(simple) {
			m.ApplicationProperties = map[string]any{"v": v}
		}
		if v == nil {
			m = &amqp.Message{ApplicationProperties: map[string]any{"v": v}, Data: [][]byte{{}}}
		}
		if err := snd.Send(ctx, m, nil); err != nil {
			t.Fatalf("%T %v: %v", v, v, err)
		}
		got, err := rcv.Receive(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(m, got, cmpopts.IgnoreUnexported(amqp.Message{}), cmpopts.IgnoreFields(amqp.Message{}, "DeliveryTag")); diff != "" {
			t.Errorf("%T (-sent +received):\n%.2000s", v, diff)
		}
		if err := rcv.AcceptMessage(ctx, got); err != nil {
			t.Error(err)
		}
	}
}

func TestGoAMQPOutcomes(t *testing.T) {
	_, session := open(t, &amqp10.Server{}, nil)
	ctx := within(t)
	snd, err := session.NewSender(ctx, "q", nil)
	if err != nil {
		t.Fatal(err)
	}
	subject := "reject me"
	err = snd.Send(ctx, &amqp.Message{Properties: &amqp.MessageProperties{Subject: &subject}, Data: [][]byte{nil}}, nil)
	var rejected *amqp.Error
	if !errors.As(err, &rejected) || rejected.Condition != amqp.ErrCondNotAllowed || rejected.Description != "as you wish" {
		t.Errorf("rejected message: %v", err)
	}
	if err := snd.Send(ctx, amqp.NewMessage([]byte("x")), nil); err != nil {
		t.Fatal(err)
	}
	mode := amqp.ReceiverSettleModeSecond
	rcv, err := session.NewReceiver(ctx, "q", &amqp.ReceiverOptions{SettlementMode: &mode})
	if err != nil {
		t.Fatal(err)
	}
	for i, settle := range []func(*amqp.Message) error{
		func(m *amqp.Message) error { return rcv.ReleaseMessage(ctx, m) },
		func(m *amqp.Message) error { return rcv.ModifyMessage(ctx, m, nil) },
		func(m *amqp.Message) error { return rcv.RejectMessage(ctx, m, nil) },
	} {
		m, err := rcv.Receive(ctx, nil)
		if err != nil {
			t.Fatal(i, err)
		}
		if err := settle(m); err != nil {
			t.Error(i, err)
		}
	}
}

func TestGoAMQPLinksAreRefusedWithTheReason(t *testing.T) {
	_, session := open(t, &amqp10.Server{}, nil)
	_, err := session.NewSender(within(t), "forbidden", nil)
	var refused *amqp.LinkError
	var e *amqp.Error
	switch {
	case errors.As(err, &refused) && refused.RemoteErr != nil:
		e = refused.RemoteErr
	case errors.As(err, &e):
	default:
		t.Fatalf("NewSender = %v", err)
	}
	if e.Condition != amqp.ErrCondUnauthorizedAccess || e.Description != "not yours" {
		t.Errorf("NewSender = %v", err)
	}
}

func TestGoAMQPDynamicNode(t *testing.T) {
	_, session := open(t, &amqp10.Server{}, nil)
	rcv, err := session.NewReceiver(within(t), "", &amqp.ReceiverOptions{DynamicAddress: true, Name: "mine"})
	if err != nil {
		t.Fatal(err)
	}
	if rcv.Address() != "dynamic-mine" {
		t.Errorf("address %q", rcv.Address())
	}
}

func TestGoAMQPDrains(t *testing.T) {
	_, session := open(t, &amqp10.Server{}, nil)
	ctx := within(t)
	rcv, err := session.NewReceiver(ctx, "q", &amqp.ReceiverOptions{Credit: -1})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := rcv.IssueCredit(10); err != nil {
			t.Fatal(err)
		}
		if err := rcv.DrainCredit(ctx, nil); err != nil {
			t.Fatal(err)
		}
	}
	snd, err := session.NewSender(ctx, "q", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := snd.Send(ctx, amqp.NewMessage([]byte("x")), nil); err != nil {
		t.Fatal(err)
	}
	if err := rcv.IssueCredit(1); err != nil {
		t.Fatal(err)
	}
	m, err := rcv.Receive(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := rcv.AcceptMessage(ctx, m); err != nil {
		t.Error(err)
	}
}

// Small frames make many transfers of one message, and small windows make
// their sender wait in the middle.
func TestGoAMQPSmallFramesAndWindows(t *testing.T) {
	_, session := open(t, &amqp10.Server{Limits: amqp10.Limits{FrameSize: 512, Window: 4}}, &amqp.ConnOptions{MaxFrameSize: 1024})
	ctx := within(t)
	snd, err := session.NewSender(ctx, "q", nil)
	if err != nil {
		t.Fatal(err)
	}
	rcv, err := session.NewReceiver(ctx, "q", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := make([]byte, 300<<10)
	_, _ = rand.Read(want)
	if err := snd.Send(ctx, amqp.NewMessage(want), nil); err != nil {
		t.Fatal(err)
	}
	m, err := rcv.Receive(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(m.GetData(), want) {
		t.Error("the message has changed")
	}
}

func TestGoAMQPThousandsOfMessagesInOrder(t *testing.T) {
	const count = 5000
	_, addr := serve(t, &amqp10.Server{})
	ctx := within(t)
	go2 := make(chan error, 1)
	var sent atomic.Int64
	go func() { go2 <- sendNumbers(ctx, addr, count, &sent) }()
	c, err := amqp.Dial(ctx, "amqp://"+addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	session, err := c.NewSession(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	rcv, err := session.NewReceiver(ctx, "numbers", &amqp.ReceiverOptions{Credit: 50})
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for len(seen) < count {
		m, err := rcv.Receive(ctx, nil)
		if err != nil {
			t.Fatalf("after %d of %d: %v", len(seen), sent.Load(), err)
		}
		if seen[string(m.GetData())] {
			t.Fatalf("%s came twice", m.GetData())
		}
		seen[string(m.GetData())] = true
		if err := rcv.AcceptMessage(ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-go2; err != nil {
		t.Error(err)
	}
}

// sendNumbers sends with our client, many in flight.
func sendNumbers(ctx context.Context, addr string, count int, sent *atomic.Int64) error {
	c, err := amqp10.Dial(ctx, addr, amqp10.ClientConfig{})
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	s, err := c.NewSession(ctx)
	if err != nil {
		return err
	}
	snd, err := s.AttachSender(ctx, amqp10.SenderConfig{Target: &amqp10.Target{Address: "numbers"}})
	if err != nil {
		return err
	}
	errs := make(chan error, 16)
	for w := range 16 {
		go func() {
			for i := w; i < count; i += 16 {
				o, err := snd.Deliver(ctx, amqp10.Outgoing{Message: amqp10.NewMessage(fmt.Append(nil, i))})
				if err == nil && o.Kind != amqp10.KindAccepted {
					err = fmt.Errorf("outcome %v", o.Kind)
				}
				if err != nil {
					errs <- err
					return
				}
				sent.Add(1)
			}
			errs <- nil
		}()
	}
	for range 16 {
		err = errors.Join(err, <-errs)
	}
	return err
}
