// Package amqp drives the AMQP engine with clients that others wrote, and
// drives theirs with it.
package amqp

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"sluice/amqp10"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is a broker of queues in memory: what is sent to an address is there to
// be received from the same address, once.
type node struct {
	mu      sync.Mutex
	queues  map[string][]message
	senders map[string][]*amqp10.Sender
	refused map[string]*amqp10.Error
}

type message struct {
	payload []byte
	format  uint32
}

func (n *node) Attach(r *amqp10.LinkRequest) {
	if r.Role == amqp10.RoleReceiver {
		n.attachReceiver(r)
		return
	}
	n.attachSender(r)
}

func (n *node) attachReceiver(r *amqp10.LinkRequest) {
	if err := n.refused[r.Target.Address]; err != nil {
		r.Refuse(err)
		return
	}
	target := r.Target.Clone()
	if target.Dynamic {
		target.Address = "dynamic-" + r.Name
	}
	r.AcceptReceiver(amqp10.ReceiverConfig{Target: target, Window: 100, OnDelivery: func(d *amqp10.Delivery) {
		go n.take(target.Address, d) // as if a disk had to answer
	}})
}

func (n *node) take(address string, d *amqp10.Delivery) {
	if m, err := d.Message(); err != nil {
		d.Reject(amqp10.Errorf(amqp10.ErrDecode, "%v", err))
		return
	} else if m.Properties != nil && m.Properties.Subject == "reject me" {
		d.Reject(amqp10.Errorf(amqp10.ErrNotAllowed, "as you wish"))
		return
	}
	n.mu.Lock()
	n.queues[address] = append(n.queues[address], message{d.Payload(), d.Format()})
	n.mu.Unlock()
	d.Accept()
	n.pump(address)
}

func (n *node) attachSender(r *amqp10.LinkRequest) {
	source := r.Source.Clone()
	if source.Dynamic {
		source.Address = "dynamic-" + r.Name
	}
	s := r.AcceptSender(amqp10.SenderConfig{Source: source, OnCredit: func(uint32, bool) { n.pump(source.Address) }})
	n.mu.Lock()
	n.senders[source.Address] = append(n.senders[source.Address], s)
	n.mu.Unlock()
	n.pump(source.Address)
}

// pump sends what is there to whoever has credit. What is not accepted goes
// back to the end of the queue, or away if it was rejected.
func (n *node) pump(address string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.senders[address] {
		for len(n.queues[address]) > 0 {
			m := n.queues[address][0]
			err := s.Send(amqp10.Outgoing{Payload: m.payload, Format: m.format, Done: func(o amqp10.Outcome, err error) {
				if err != nil || o.Kind == amqp10.KindReleased || o.Kind == amqp10.KindModified {
					n.mu.Lock()
					n.queues[address] = append(n.queues[address], m)
					n.mu.Unlock()
					n.pump(address)
				}
			}})
			if err != nil {
				break
			}
			n.queues[address] = n.queues[address][1:]
		}
	}
}

func (n *node) left(address string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.queues[address])
}

func (*node) Closed(error) {}

// serve runs a server on loopback, for the duration of the test, and returns
// its node and its address.
func serve(t *testing.T, s *amqp10.Server) (*node, string) {
	t.Helper()
	n := &node{queues: map[string][]message{}, senders: map[string][]*amqp10.Sender{},
		refused: map[string]*amqp10.Error{"forbidden": amqp10.Errorf(amqp10.ErrUnauthorized, "not yours")}}
	s.Open = func(*amqp10.Conn) (amqp10.Handler, error) { return n, nil }
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Serve(ctx, l) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return n, l.Addr().String()
}

// within is the time that a conversation with another program may take.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}
