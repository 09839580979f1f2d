package interop

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/Azure/go-amqp"

	"sluice/internal/hub/storage"
	"sluice/internal/sas"
	"sluice/iot"
)

// goAMQP connects Microsoft's AMQP client for Go to the service side of a hub.
func goAMQP(ctx context.Context, t *testing.T, h *serviceHub) *amqp.Session {
	t.Helper()
	cs, err := sas.ParseConnectionString(h.host.ConnectionString(storage.ServicePolicy))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(h.host.RootPEM())
	conn, err := amqp.Dial(ctx, "amqps://"+h.host.AMQPAddr().String(), &amqp.ConnOptions{
		SASLType: amqp.SASLTypePlain(cs.PolicyName, cs.Key.Reveal()), TLSConfig: &tls.Config{RootCAs: roots},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // of a test
	session, err := conn.NewSession(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	return session
}

func TestGoAMQPReadsEvents(t *testing.T) {
	h := newServiceHub(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	pump := iot.DeviceIdentity("pump")
	h.add(pump)
	h.send(pump, 0, 1000)
	session := goAMQP(ctx, t, h)
	address := fmt.Sprintf("sluice-hub/ConsumerGroups/$Default/Partitions/%d", h.host.Events().PartitionOf(pump))
	read := func(opt amqp.ReceiverOptions) *amqp.Receiver {
		t.Helper()
		opt.Filters = []amqp.LinkFilter{amqp.NewSelectorFilter("amqp.annotation.x-opt-sequence-number > '99'")}
		r, err := session.NewReceiver(ctx, address, &opt)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	expect := func(r *amqp.Receiver, first, n int) {
		t.Helper()
		for i := first; i < first+n; i++ {
			m, err := r.Receive(ctx, nil)
			if err != nil {
				t.Fatal(err)
			}
			if want := fmt.Sprintf(`{"n":%d}`, i); string(m.GetData()) != want || m.Annotations["x-opt-sequence-number"] != int64(i) {
				t.Fatalf("event %d is %s, %v", i, m.GetData(), m.Annotations)
			}
			if err := r.AcceptMessage(ctx, m); err != nil {
				t.Fatal(err)
			}
		}
	}
	prefetching := read(amqp.ReceiverOptions{Credit: 100})
	expect(prefetching, 100, 900)
	h.send(pump, 1000, 1010)
	expect(prefetching, 1000, 10)

	// As azeventhubs does without prefetching.
	byHand := read(amqp.ReceiverOptions{Credit: -1})
	for first := 100; first < 1000; first += 300 {
		if err := byHand.IssueCredit(300); err != nil {
			t.Fatal(err)
		}
		expect(byHand, first, 300)
	}

	owner := read(amqp.ReceiverOptions{Properties: map[string]any{"com.microsoft:epoch": int64(3)}})
	var stolen *amqp.LinkError
	if _, err := prefetching.Receive(ctx, nil); !errors.As(err, &stolen) || stolen.RemoteErr == nil || stolen.RemoteErr.Condition != amqp.ErrCondStolen {
		t.Errorf("the reader without an epoch ends with %v", err)
	}
	expect(owner, 100, 50)
}

func TestGoAMQPSendsCommandsToAModule(t *testing.T) {
	h := newServiceHub(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	module := iot.ModuleIdentity("pump", "filter")
	h.add(module.Owner())
	h.add(module)
	sender, err := goAMQP(ctx, t, h).NewSender(ctx, "/messages/devicebound", nil)
	if err != nil {
		t.Fatal(err)
	}
	send := func(to string) error {
		return sender.Send(ctx, &amqp.Message{Data: [][]byte{[]byte("close")}, Properties: &amqp.MessageProperties{To: &to}}, nil)
	}
	if err := send("/devices/pump/modules/filter/messages/devicebound"); err != nil {
		t.Fatal(err)
	}
	if n := h.hub.CommandCount(module); n != 1 {
		t.Errorf("%d commands wait for the module", n)
	}
	var refused *amqp.Error
	if err := send("/devices/pump/modules/motor/messages/devicebound"); !errors.As(err, &refused) || refused.Condition != amqp.ErrCondNotFound {
		t.Errorf("to a module that there is not: %v", err)
	}
}
