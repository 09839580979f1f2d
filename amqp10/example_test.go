package amqp10_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"sync"

	"sluice/amqp10"
)

// node keeps what devices send, and accepts it when it is safe.
type node struct{ stored chan string }

func (n *node) Attach(r *amqp10.LinkRequest) {
	if r.Role != amqp10.RoleReceiver || r.Address() != "telemetry" {
		r.Refuse(amqp10.Errorf(amqp10.ErrNotFound, "no such node"))
		return
	}
	r.AcceptReceiver(amqp10.ReceiverConfig{Window: 100, OnDelivery: func(d *amqp10.Delivery) {
		m, err := d.Message()
		if err != nil {
			d.Reject(amqp10.Errorf(amqp10.ErrDecode, "%v", err))
			return
		}
		go func() { // a disk would call back later, too
			n.stored <- string(m.Data[0])
			d.Accept()
		}()
	}})
}

func (n *node) Closed(error) {}

// A server that takes telemetry from everybody, and a client that sends it.
func Example() {
	n := &node{stored: make(chan string, 1)}
	s := &amqp10.Server{
		Mechanisms: []*amqp10.Mechanism{amqp10.Anonymous(nil)},
		Open:       func(*amqp10.Conn) (amqp10.Handler, error) { return n, nil },
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(ctx, l) })
	defer serving.Wait()
	defer stop()

	c, err := amqp10.Dial(ctx, l.Addr().String(), amqp10.ClientConfig{Login: amqp10.LoginAnonymous()})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	session, err := c.NewSession(ctx)
	if err != nil {
		log.Fatal(err)
	}
	snd, err := session.AttachSender(ctx, amqp10.SenderConfig{Target: &amqp10.Target{Address: "telemetry"}})
	if err != nil {
		log.Fatal(err)
	}
	outcome, err := snd.Deliver(ctx, amqp10.Outgoing{Message: amqp10.NewMessage([]byte("21.5 °C"))})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(<-n.stored, outcome.Kind)

	_, err = session.AttachSender(ctx, amqp10.SenderConfig{Name: "made-up", Target: &amqp10.Target{Address: "elsewhere"}})
	fmt.Println(err)
	// Output:
	// 21.5 °C accepted
	// amqp10: attach "made-up": amqp:not-found: no such node (sent by the peer)
}

// Many messages under way at once, in order, without a goroutine for each.
func ExampleSender_Send() {
	var (
		snd   *amqp10.Sender
		queue = []string{"a", "b", "c"}
	)
	pump := func() {
		for len(queue) > 0 {
			m := amqp10.NewMessage([]byte(queue[0]))
			err := snd.Send(amqp10.Outgoing{Message: m, Done: func(o amqp10.Outcome, err error) {
				// Done and OnCredit run one after the other, so that what they
				// share needs no lock.
			}})
			if err == amqp10.ErrNoCredit {
				return // OnCredit comes again
			} else if err != nil {
				return // the link has ended; OnClose says why
			}
			queue = queue[1:]
		}
	}
	_ = amqp10.SenderConfig{OnCredit: func(uint32, bool) { pump() }}
}
