package amqphead_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"sluice/amqp10"
	"sluice/internal/iottest"
	"sluice/internal/sas"
	"sluice/iot"
)

// Many identities of one connection come, send and go, while the hub ends some of
// them: each message arrives under the name of the link on which it was sent, and
// at the end the hub has nobody left.
func TestZ1_ACrowdOnOneConnection(t *testing.T) {
	hub := &witness{Hub: iottest.NewHub(), t: t}
	t.Cleanup(func() { // when the server is done with the connection
		if left := len(hub.Sessions()); left > 0 {
			t.Errorf("%d sessions are left at the hub", left)
		}
	})
	conn := serve(t, hub, amqp10.LoginAnonymous())
	d := newDesk(t, conn)
	d.put(sign(t, "gw/$edgeHub", sas.Resource{Host: hubName, Identity: iot.ModuleIdentity("gw", "$edgeHub")}), hubName+"/devices/gw/modules/$edgeHub")
	var wg sync.WaitGroup
	for range 12 {
		sess, err := conn.NewSession(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for n := range 30 {
				id := fmt.Sprintf("leaf%d", rand.N(40))
				visit(t, sess, id, n)
				if n%7 == 3 {
					hub.End(iot.DeviceIdentity(fmt.Sprintf("leaf%d", rand.N(40))), iot.ErrTokenExpired)
				}
			}
		})
	}
	wg.Wait()
	if err := conn.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// visit attaches a link, sends on it and detaches. All of it may fail.
func visit(t *testing.T, sess *amqp10.Session, id string, n int) {
	properties := amqp10.Fields{{Key: "com.microsoft:auth-chain", Value: id + ";gw"}}
	r, err := sess.AttachReceiver(t.Context(), amqp10.ReceiverConfig{
		Source: &amqp10.Source{Address: "/devices/" + id + "/messages/devicebound"}, Properties: properties, Window: 5,
	})
	if err == nil && n%2 == 0 {
		_ = r.Close(t.Context()) // may have been closed
	}
	s, err := sess.AttachSender(t.Context(), amqp10.SenderConfig{
		Target: &amqp10.Target{Address: "/devices/" + id + "/messages/events"}, Properties: properties,
	})
	if err != nil {
		return
	}
	for range 5 {
		msg := amqp10.NewMessage([]byte(id))
		if _, err := s.Deliver(t.Context(), amqp10.Outgoing{Message: msg}); err != nil {
			return
		}
	}
	_ = s.Close(t.Context()) // may have been closed
	if r != nil {
		_ = r.Close(t.Context()) // likewise
	}
}

// A witness is a hub that compares what is sent with who sends it.
type witness struct {
	*iottest.Hub
	t *testing.T
}

func (w *witness) Connect(ctx context.Context, creds iot.Credentials, client iot.Client) (iot.Session, error) {
	s, err := w.Hub.Connect(ctx, creds, client)
	return &witnessed{s, w.t}, err
}

type witnessed struct {
	iot.Session
	t *testing.T
}

func (w *witnessed) Send(batch []iot.Message, done func(error)) {
	for i := range batch {
		if string(batch[i].Body) != w.Identity().String() {
			w.t.Errorf("%v sent what %s had sent", w.Identity(), batch[i].Body)
		}
	}
	w.Session.Send(batch, done)
}
