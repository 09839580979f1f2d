package amqp10

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sluice/amqp10/internal/frame"
	"sluice/amqp10/internal/wire"
)

// sending attaches a sender of the client to a pair.
func (p *pair) sending(t testing.TB) *Sender {
	t.Helper()
	s, err := p.session(t).AttachSender(t.Context(), SenderConfig{Target: &Target{Address: "q"}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDeliveriesAreSettledLateFromAnyGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := handler{attach: func(r *LinkRequest) {
			r.AcceptReceiver(ReceiverConfig{Window: 50, OnDelivery: func(d *Delivery) {
				go func() {
					time.Sleep(time.Duration(d.id%7) * time.Millisecond) // a disk
					switch d.id % 4 {
					case 0:
						d.Release()
					case 1:
						d.Reject(Errorf(ErrNotAllowed, "%d", d.id))
					case 2:
						d.Settle(Modified(true, false))
					default:
						d.Accept()
					}
					d.Accept() // too late to say anything else
				}()
			}})
		}}
		p := connect(t, &Server{}, ClientConfig{}, h)
		defer p.close(t)
		snd := p.sending(t)
		var wg sync.WaitGroup
		kinds := []OutcomeKind{KindReleased, KindRejected, KindModified, KindAccepted}
		for range 400 {
			wg.Go(func() {
				var id int
				if o, err := snd.Deliver(t.Context(), Outgoing{Message: NewMessage([]byte("x"))}); err != nil || !slices.Contains(kinds, o.Kind) {
					t.Errorf("outcome %+v, %v", o, err)
				} else if o.Kind == KindRejected {
					if _, err := fmt.Sscan(o.Error.Description, &id); err != nil || id%4 != 1 || o.Error.Condition != ErrNotAllowed {
						t.Errorf("rejected with %v", o.Error)
					}
				}
			})
		}
		wg.Wait()
	})
}

func TestMessagesArriveInOrderWithTheirOutcomesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		h := handler{attach: func(r *LinkRequest) {
			r.AcceptReceiver(ReceiverConfig{Window: 7, OnDelivery: func(d *Delivery) {
				m, err := d.Message()
				if err != nil {
					t.Error(err)
				}
				got = append(got, string(m.Data[0]))
				d.Accept()
			}})
		}}
		p := connect(t, &Server{Limits: Limits{FrameSize: 512}}, ClientConfig{}, h)
		snd := p.sending(t)
		var done []int
		for i := range 300 {
			m := NewMessage(fmt.Appendf(nil, "%d %s", i, make([]byte, i*10)))
			for {
				err := snd.Send(Outgoing{Message: m, Done: func(o Outcome, err error) {
					if err == nil && o.Kind == KindAccepted {
						done = append(done, i)
					}
				}})
				if err == nil {
					break
				} else if err != ErrNoCredit {
					t.Fatal(err)
				}
				synctest.Wait()
			}
		}
		synctest.Wait()
		p.close(t)
		for i := range 300 {
			if want := fmt.Sprintf("%d %s", i, make([]byte, i*10)); got[i] != want || done[i] != i {
				t.Fatalf("message %d: %.10q, outcome of %d", i, got[i], done[i])
			}
		}
	})
}

// Whoever is told that there is no credit is told when there is again.
func TestErrNoCreditIsFollowedByOnCredit(t *testing.T) {
	for name, limits := range map[string]Limits{"credit": {}, "output": {Outgoing: 2000}, "unsettled": {Unsettled: 3}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const count = 200
				window := uint32(5)
				if name != "credit" {
					window = 1000
				}
				sent, accepted, most := 0, 0, 0
				var snd *Sender
				pump := func() {
					for ; sent < count; sent++ {
						err := snd.Send(Outgoing{Payload: make([]byte, 300), Done: func(o Outcome, err error) {
							if err != nil || o.Kind != KindAccepted {
								t.Errorf("outcome %+v, %v", o, err)
							}
							accepted++
							most = max(most, sent-accepted)
						}})
						if err != nil {
							if err != ErrNoCredit {
								t.Error(err)
							}
							return
						}
					}
				}
				h := handler{attach: func(r *LinkRequest) {
					snd = r.AcceptSender(SenderConfig{OnCredit: func(uint32, bool) { pump() }})
				}}
				p := connect(t, &Server{Limits: limits}, ClientConfig{}, h)
				defer p.close(t)
				_, err := p.session(t).AttachReceiver(t.Context(), ReceiverConfig{Window: window, OnDelivery: (*Delivery).Accept})
				if err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if accepted != count {
					t.Errorf("%d of %d were accepted, %d sent", accepted, count, sent)
				}
				if name == "unsettled" && most > 3 {
					t.Errorf("%d were unsettled", most)
				}
			})
		})
	}
}

// A handler that does not settle stops its own sender, at a bounded amount, and
// nobody else.
func TestAHandlerThatDoesNotSettleSlowsItsOwnSender(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var kept []*Delivery
		server := &Server{Limits: Limits{Held: 10_000, Window: 1 << 20}}
		slow := connect(t, server, ClientConfig{Limits: Limits{Outgoing: 20_000, Write: time.Hour, Idle: time.Hour}}, keep(1<<20, &kept))
		snd := slow.sending(t)
		synctest.Wait()
		sent := 0
		for i := 0; i < 1000; i++ {
			if snd.Send(Outgoing{Payload: make([]byte, 1000)}) == nil {
				sent++
			}
			synctest.Wait()
		}
		if len(kept) > 9 || sent > 9+25 {
			t.Errorf("the handler holds %d messages of 1000 bytes, limit 10,000 bytes; %d were sent", len(kept), sent)
		}
		fast := connect(t, &Server{}, ClientConfig{}, acceptAll(nil))
		if o, err := fast.sending(t).Deliver(t.Context(), Outgoing{Payload: payload("x")}); err != nil || o.Kind != KindAccepted {
			t.Errorf("another connection: %v, %v", o, err)
		}
		fast.close(t)
		for len(kept) < sent {
			for _, d := range kept {
				d.Accept()
			}
			synctest.Wait()
		}
		for _, d := range kept {
			d.Accept()
		}
		slow.close(t)
	})
}

// A peer that does not read is closed, and costs a bounded amount until then.
func TestAPeerThatDoesNotReadIsClosed(t *testing.T) {
	var snd *Sender
	scripted(t, &Server{Limits: Limits{Outgoing: 10_000}}, acceptAll(func(s *Sender) { snd = s }), func(p *script) {
		p.opened().send(receivingLink("l", 0))
		p.want("attach")
		p.send(credit(0, 0, 1000))
		synctest.Wait()
		start, sent := time.Now(), 0
		for snd.Send(Outgoing{Payload: make([]byte, 1000)}) == nil {
			sent++
			synctest.Wait()
		}
		if sent > 12 {
			t.Errorf("%d messages of 1000 bytes were taken, limit 10,000 bytes", sent)
		}
		<-p.done
		var timeout net.Error
		if took := time.Since(start); took > 15*time.Second || !errors.As(p.err, &timeout) || !timeout.Timeout() {
			t.Errorf("ended after %v with %v", took, p.err)
		}
	})
}

// A peer that asks and asks, and does not read the answers, is not read either.
func TestAPeerThatOnlyAsksIsHeldBack(t *testing.T) {
	var conn *Conn
	s := &Server{Limits: Limits{Outgoing: 10_000}}
	s.Open = func(c *Conn) (Handler, error) { conn = c; return acceptAll(nil), nil }
	scripted(t, s, nil, func(p *script) {
		p.opened().send(receivingLink("l", 0))
		p.want("attach")
		echo := flow(frame.Flow{NextIncomingID: frame.Some(uint32(0)), Handle: frame.Some(uint32(0)), LinkCredit: frame.Some(uint32(0)), Echo: true})
		go func() {
			for {
				if _, err := p.nc.Write(appended(receivingLink("m", 1), detach(1), echo)); err != nil {
					return
				}
			}
		}()
		time.Sleep(time.Second)
		synctest.Wait()
		conn.mu.Lock()
		if got := len(conn.out.B) + conn.inFlight; got > 10_000+1000 {
			t.Errorf("%d bytes wait to be read", got)
		}
		conn.mu.Unlock()
	})
}

func appended(all ...frames) []byte {
	var w wire.Encoder
	for _, f := range all {
		f(&w)
	}
	return w.B
}

func TestLinksThatEndFailWhatIsUnderWay(t *testing.T) {
	for name, end := range map[string]func(p *pair, snd *Sender, rcv *Receiver){
		"our link":       func(_ *pair, snd *Sender, _ *Receiver) { snd.CloseWith(nil) },
		"our session":    func(_ *pair, snd *Sender, _ *Receiver) { snd.Session().CloseWith(nil) },
		"our connection": func(p *pair, _ *Sender, _ *Receiver) { p.client.CloseWith(nil) },
		"its link":       func(_ *pair, _ *Sender, rcv *Receiver) { rcv.CloseWith(Errorf(ErrResourceDeleted, "gone")) },
		"its session": func(_ *pair, _ *Sender, rcv *Receiver) {
			rcv.Session().CloseWith(Errorf(ErrResourceDeleted, "gone"))
		},
		"its connection": func(p *pair, _ *Sender, _ *Receiver) { p.server.CloseWith(Errorf(ErrResourceDeleted, "gone")) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var kept []*Delivery
				p := connect(t, &Server{}, ClientConfig{}, keep(2, &kept))
				var closed []error
				snd, err := p.session(t).AttachSender(t.Context(), SenderConfig{OnClose: func(err error) { closed = append(closed, err) }})
				if err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				var failed []error
				for range 2 {
					if err := snd.Send(Outgoing{Payload: payload("x"), Done: func(_ Outcome, err error) { failed = append(failed, err) }}); err != nil {
						t.Fatal(err)
					}
				}
				waiting := make(chan error, 1)
				go func() {
					_, err := snd.Deliver(t.Context(), Outgoing{Payload: payload("x")})
					waiting <- err
				}()
				synctest.Wait()
				end(p, snd, kept[0].Receiver())
				if err := <-waiting; err == nil {
					t.Error("a message without credit was delivered")
				}
				synctest.Wait()
				theirs := name[:3] == "its"
				if len(failed) != 2 || failed[0] == nil || failed[1] == nil || len(closed) != 1 || (closed[0] != nil) != theirs {
					t.Errorf("Done: %v, OnClose: %v", failed, closed)
				}
				if theirs && !errors.Is(closed[0], &Error{Condition: ErrResourceDeleted}) {
					t.Errorf("OnClose: %v", closed[0])
				}
				if err := snd.Send(Outgoing{}); err == nil || err == ErrNoCredit {
					t.Errorf("Send on a link that has ended: %v", err)
				}
				for _, d := range kept {
					d.Accept() // nobody hears it
				}
				_ = p.client.Close(t.Context())
				<-p.ended
			})
		})
	}
}

func TestReceiveReturnsWhatHasArrivedAndThenTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var snd *Sender
		p := connect(t, &Server{}, ClientConfig{}, acceptAll(func(s *Sender) { snd = s }))
		rcv, err := p.session(t).AttachReceiver(t.Context(), ReceiverConfig{Window: 5})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for range 2 {
			if err := snd.Send(Outgoing{Payload: payload("x"), Settled: true}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		snd.CloseWith(nil)
		synctest.Wait()
		for range 2 {
			d, err := rcv.Receive(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			d.Accept()
		}
		if _, err := rcv.Receive(t.Context()); !errors.Is(err, net.ErrClosed) || rcv.Err() != nil {
			t.Errorf("Receive = %v, Err = %v", err, rcv.Err())
		}
		p.close(t)
	})
}

func TestSettledMessagesHaveNoOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var kept []*Delivery
		p := connect(t, &Server{}, ClientConfig{}, keep(10, &kept))
		defer p.close(t)
		mode := SendSettled
		snd, err := p.session(t).AttachSender(t.Context(), SenderConfig{SenderMode: &mode})
		if err != nil {
			t.Fatal(err)
		}
		for range 30 {
			o, err := snd.Deliver(t.Context(), Outgoing{Payload: payload("x")})
			if err != nil || o.Kind != None {
				t.Fatalf("outcome %v, %v", o.Kind, err)
			}
			synctest.Wait()
			for _, d := range kept {
				d.Accept()
			}
			kept = nil
		}
	})
}

func TestMessagesThatThePeerDoesNotTakeAreRefusedHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := connect(t, &Server{Limits: Limits{MessageSize: 1000}}, ClientConfig{}, acceptAll(nil))
		defer p.close(t)
		snd := p.sending(t)
		synctest.Wait()
		if err := snd.Send(Outgoing{Payload: make([]byte, 1001)}); !errors.Is(err, &Error{Condition: ErrMessageSizeExceeded}) || snd.MaxMessageSize() != 1000 {
			t.Errorf("Send = %v", err)
		}
		if err := snd.Send(Outgoing{Tag: make([]byte, 33)}); !errors.Is(err, &Error{Condition: ErrInvalidField}) {
			t.Errorf("Send = %v", err)
		}
		if err := snd.Send(Outgoing{Message: &Message{Value: struct{}{}}}); err == nil {
			t.Error("a message that cannot be encoded was sent")
		}
		if o, err := snd.Deliver(t.Context(), Outgoing{Message: &Message{}}); err != nil || o.Kind != KindAccepted {
			t.Errorf("after that: %v, %v", o, err)
		}
	})
}

// A receiver that has heard enough of a message need not take the rest.
func TestWhatIsDecidedInTheMiddleIsAborted(t *testing.T) {
	var snd *Sender
	scripted(t, &Server{}, acceptAll(func(s *Sender) { snd = s }), func(p *script) {
		p.header(frame.ProtoAMQP)
		p.wantHeader(frame.ProtoAMQP)
		p.send(open(func(o *frame.Open) { o.MaxFrameSize = frame.Some(uint32(512)) }))
		p.want("open")
		p.send(func(w *wire.Encoder) {
			b := frame.BeginSession{IncomingWindow: 1}
			b.Append(w, 0)
		})
		p.want("begin")
		p.send(receivingLink("l", 0))
		p.want("attach")
		p.send(flow(frame.Flow{NextIncomingID: frame.Some(uint32(0)), IncomingWindow: 1, Handle: frame.Some(uint32(0)), LinkCredit: frame.Some(uint32(9))}))
		synctest.Wait()
		var got []Outcome
		for range 2 {
			if err := snd.Send(Outgoing{Payload: make([]byte, 2000), Done: func(o Outcome, _ error) { got = append(got, o) }}); err != nil {
				t.Fatal(err)
			}
		}
		p.want("transfer handle=0 delivery-id=0")
		p.send(flow(frame.Flow{NextIncomingID: frame.Some(uint32(1)), IncomingWindow: 1, Handle: frame.Some(uint32(0)), LinkCredit: frame.Some(uint32(9)), Echo: true}))
		p.want("transfer handle=0 more=true", "flow next-incoming-id=0 incoming-window=2048 next-outgoing-id=2 outgoing-window=2147483647 handle=0 delivery-count=1 link-credit=8 available=1")
		p.send(disposition(frame.Disposition{Role: RoleReceiver, Settled: true, State: Rejected(nil)}))
		p.send(flow(frame.Flow{NextIncomingID: frame.Some(uint32(2)), IncomingWindow: 2}))
		p.want("transfer handle=0 aborted=true")
		p.want("transfer handle=0 delivery-id=1 delivery-tag=0x0000000000000002 message-format=0 settled=false more=true")
		if len(got) != 1 || got[0].Kind != KindRejected {
			t.Errorf("outcomes %v", got)
		}
		p.send(disposition(frame.Disposition{Role: RoleReceiver, First: 1, Settled: true, State: Accepted}),
			flow(frame.Flow{NextIncomingID: frame.Some(uint32(4)), IncomingWindow: 2}))
		p.want("transfer handle=0 aborted=true")
		if got := snd.s.pending; len(got) != 0 || snd.s.c.pending != 0 {
			t.Errorf("%d deliveries and %d bytes wait", len(got), snd.s.c.pending)
		}
	})
}

// Two ends whose buffers are full in both directions still read each other.
func TestBothWaysAtOnceWithFullBuffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := Limits{Outgoing: 10_000, Held: 10_000, MessageSize: 200_000}
		var back *Sender
		h := handler{attach: func(r *LinkRequest) {
			if r.Role == RoleSender {
				back = r.AcceptSender(SenderConfig{})
				return
			}
			acceptAll(nil).Attach(r)
		}}
		p := connect(t, &Server{Limits: limits}, ClientConfig{Limits: limits}, h)
		defer p.close(t)
		snd := p.sending(t)
		if _, err := snd.Session().AttachReceiver(t.Context(), ReceiverConfig{Window: 10, OnDelivery: (*Delivery).Accept}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		var wg sync.WaitGroup
		for _, s := range []*Sender{snd, back} {
			for range 50 {
				wg.Go(func() {
					if o, err := s.Deliver(t.Context(), Outgoing{Payload: make([]byte, 150_000)}); err != nil || o.Kind != KindAccepted {
						t.Errorf("outcome %v, %v", o, err)
					}
				})
			}
		}
		wg.Wait()
	})
}

// Room that a delivery gives back is used at once, also when there is nothing
// to say to its sender.
func TestRoomIsGivenBackInSilence(t *testing.T) {
	var kept []*Delivery
	scripted(t, &Server{Limits: Limits{Held: 1}}, keep(1000, &kept), func(p *script) {
		p.opened().send(sendingLink("l", 0))
		p.want("attach", "flow ")
		go func() {
			for id := range uint32(5) {
				_, _ = p.nc.Write(appended(part(frame.Transfer{DeliveryID: frame.Some(id), Tag: []byte("t"), Settled: frame.Some(true)}, payload("x"))))
			}
		}()
		for n := range 5 {
			synctest.Wait()
			if len(kept) != n+1 || !kept[n].Settled() {
				t.Fatalf("%d deliveries have come, want %d", len(kept), n+1)
			}
			kept[n].Accept()
		}
	})
}
