package amqp10

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"sluice/amqp10/internal/frame"
)

// keep accepts links whose deliveries the test settles.
func keep(window uint32, deliveries *[]*Delivery) handler {
	return handler{attach: func(r *LinkRequest) {
		r.AcceptReceiver(ReceiverConfig{Window: window, OnDelivery: func(d *Delivery) { *deliveries = append(*deliveries, d) }})
	}}
}

func TestA5_DispositionRanges(t *testing.T) {
	for name, tt := range map[string]struct {
		ranges [][2]uint32
		end    bool
		left   int
	}{
		"A5 one by one":           {ranges: [][2]uint32{{0, 0}, {2, 2}, {1, 1}}, left: 7},
		"A5 all that there are":   {ranges: [][2]uint32{{0, 9}}, left: 0},
		"A5 a range far too wide": {ranges: [][2]uint32{{0, 1<<31 - 1}}, left: 0},
		"A5 0 to 2^32-1":          {ranges: [][2]uint32{{0, 1<<32 - 1}}, end: true, left: 0},
		"A5 last before first":    {ranges: [][2]uint32{{5, 4}}, end: true, left: 0},
		"A5 never sent":           {ranges: [][2]uint32{{10, 1000}, {1 << 31, 1<<31 + 5}}, left: 10},
		"A5 twice":                {ranges: [][2]uint32{{0, 4}, {0, 4}, {3, 4}}, left: 5},
		"A5 across the zero":      {ranges: [][2]uint32{{1<<32 - 2, 1}}, left: 8},
	} {
		t.Run(name, func(t *testing.T) {
			var snd *Sender
			scripted(t, &Server{}, acceptAll(func(s *Sender) { snd = s }), func(p *script) {
				p.opened().send(receivingLink("l", 0))
				p.want("attach")
				p.send(credit(0, 0, 10))
				synctest.Wait()
				left := 0
				for range 10 {
					left++
					if err := snd.Send(Outgoing{Payload: payload("x"), Done: func(Outcome, error) { left-- }}); err != nil {
						t.Fatal(err)
					}
					p.want("transfer")
				}
				for _, r := range tt.ranges {
					p.send(disposition(frame.Disposition{Role: RoleReceiver, First: r[0], Last: frame.Some(r[1]), Settled: true, State: Accepted}))
				}
				if tt.end {
					p.want("end error=error(condition=:amqp:invalid-field")
				}
				synctest.Wait()
				if left != tt.left {
					t.Errorf("%d are left, want %d", left, tt.left)
				}
			})
		})
	}
}

func TestA6_Flows(t *testing.T) {
	var snd *Sender
	start := func(p *script) {
		p.opened().send(receivingLink("l", 0))
		p.want("attach")
	}
	session := func(f frame.Flow) frames {
		f.OutgoingWindow = 100
		return flow(f)
	}
	t.Run("A6 without next-incoming-id", func(t *testing.T) {
		scripted(t, &Server{}, acceptAll(func(s *Sender) { snd = s }), func(p *script) {
			start(p)
			p.send(session(frame.Flow{IncomingWindow: 1, Handle: frame.Some(uint32(0)), LinkCredit: frame.Some(uint32(5))}))
			synctest.Wait()
			if got := snd.Credit(); got != 5 {
				t.Errorf("credit %d", got)
			}
			for range 4 {
				if err := snd.Send(Outgoing{Payload: payload("x")}); err != nil {
					t.Fatal(err)
				}
			}
			p.want("delivery-id=0")
			p.send(session(frame.Flow{IncomingWindow: 2}))
			p.want("delivery-id=1", "delivery-id=2")
		})
	})
	t.Run("A6 credit counts from the delivery-count, which may be behind or ahead", func(t *testing.T) {
		scripted(t, &Server{}, acceptAll(func(s *Sender) { snd = s }), func(p *script) {
			start(p)
			for _, tt := range []struct{ count, credit, want uint32 }{{0, 5, 5}, {1<<32 - 3, 5, 2}, {1<<32 - 9, 5, 0}, {7, 5, 5}, {0, 1<<32 - 1, 1<<32 - 1}} {
				p.send(credit(0, tt.count, tt.credit))
				synctest.Wait()
				if got := snd.Credit(); got != tt.want {
					t.Errorf("count %d, credit %d: %d, want %d", tt.count, tt.credit, got, tt.want)
				}
			}
		})
	})
	t.Run("A6 a window of 0 holds back, and a bounded amount", func(t *testing.T) {
		scripted(t, &Server{Limits: Limits{Outgoing: 1000}}, acceptAll(func(s *Sender) { snd = s }), func(p *script) {
			start(p)
			p.send(session(frame.Flow{NextIncomingID: frame.Some(uint32(0)), Handle: frame.Some(uint32(0)), LinkCredit: frame.Some(uint32(1000))}))
			synctest.Wait()
			sent := 0
			for snd.Send(Outgoing{Payload: make([]byte, 100)}) == nil {
				sent++
			}
			if sent != 10 {
				t.Errorf("%d messages of 100 bytes were taken, limit 1000 bytes", sent)
			}
			p.send(session(frame.Flow{NextIncomingID: frame.Some(uint32(0)), IncomingWindow: 3, Echo: true}))
			p.want("transfer handle=0 delivery-id=0", "transfer handle=0 delivery-id=1", "transfer handle=0 delivery-id=2", "flow next-incoming-id=0")
		})
	})
	t.Run("A6 a window counts from what its giver had seen", func(t *testing.T) {
		scripted(t, &Server{}, acceptAll(func(s *Sender) { snd = s }), func(p *script) {
			start(p)
			p.send(session(frame.Flow{NextIncomingID: frame.Some(uint32(0)), IncomingWindow: 3, Handle: frame.Some(uint32(0)), LinkCredit: frame.Some(uint32(9))}))
			synctest.Wait()
			for range 5 {
				if err := snd.Send(Outgoing{Payload: payload("x")}); err != nil {
					t.Fatal(err)
				}
			}
			p.want("delivery-id=0", "delivery-id=1", "delivery-id=2")
			p.send(session(frame.Flow{NextIncomingID: frame.Some(uint32(1)), IncomingWindow: 2, Echo: true}))
			p.want("flow ")
			p.send(session(frame.Flow{NextIncomingID: frame.Some(uint32(1)), IncomingWindow: 3, Echo: true}))
			p.want("delivery-id=3", "flow ")
		})
	})
	t.Run("A6 echo is answered with the link's state", func(t *testing.T) {
		scripted(t, &Server{}, acceptAll(nil), func(p *script) {
			start(p)
			p.send(session(frame.Flow{Handle: frame.Some(uint32(0)), LinkCredit: frame.Some(uint32(5)), Echo: true}))
			p.want("flow next-incoming-id=0 incoming-window=2048 next-outgoing-id=0 outgoing-window=2147483647 handle=0 delivery-count=0 link-credit=5 available=0")
		})
	})
	t.Run("A6 a flow before the link is accepted counts", func(t *testing.T) {
		var r *LinkRequest
		scripted(t, &Server{}, handler{attach: func(q *LinkRequest) { r = q }}, func(p *script) {
			p.opened().send(receivingLink("l", 0), credit(0, 0, 7))
			synctest.Wait()
			var told uint32
			s := r.AcceptSender(SenderConfig{OnCredit: func(n uint32, _ bool) { told = n }})
			p.want("attach")
			synctest.Wait()
			if s.Credit() != 7 || told != 7 {
				t.Errorf("credit %d, told %d", s.Credit(), told)
			}
		})
	})
}

func TestA7_Transfers(t *testing.T) {
	first := frame.Transfer{DeliveryID: frame.Some(uint32(0)), Tag: []byte("t")}
	with := func(change func(*frame.Transfer)) frame.Transfer {
		f := first
		change(&f)
		return f
	}
	for name, tt := range map[string]struct {
		send []frames
		want string
	}{
		"A7 without delivery-id": {[]frames{part(with(func(f *frame.Transfer) { f.DeliveryID.Set = false }), nil)}, "end error=error(condition=:amqp:invalid-field"},
		"A7 without tag":         {[]frames{part(with(func(f *frame.Transfer) { f.Tag = nil }), nil)}, "end error=error(condition=:amqp:invalid-field"},
		"A7 tag of 33 bytes":     {[]frames{part(with(func(f *frame.Transfer) { f.Tag = make([]byte, 33) }), nil)}, "end error=error(condition=:amqp:invalid-field"},
		"A7 ids that fall":       {[]frames{whole(0, 5), whole(0, 4)}, "end error=error(condition=:amqp:invalid-field"},
		"A7 ids out of reach":    {[]frames{whole(0, 0), whole(0, 1<<31)}, "end error=error(condition=:amqp:invalid-field"},
		"A7 id again":            {[]frames{whole(0, 0), whole(0, 0)}, "end error=error(condition=:amqp:invalid-field"},
		"A7 other id inside": {[]frames{part(with(func(f *frame.Transfer) { f.More = true }), nil),
			part(with(func(f *frame.Transfer) { f.DeliveryID.V = 1 }), nil)}, "end error=error(condition=:amqp:invalid-field"},
		"A7 above the credit": {[]frames{whole(0, 0), whole(0, 1), whole(0, 2)}, "detach handle=0 closed=true error=error(condition=:amqp:link:transfer-limit-exceeded"},
		"A7 resumed":          {[]frames{part(with(func(f *frame.Transfer) { f.Resume = true }), nil)}, "detach handle=0 closed=true error=error(condition=:amqp:not-implemented"},
		"A7 in a transaction": {[]frames{raw(0, 0, 0, 34, 2, 0, 0, 0, 0, 0x53, frame.CodeTransfer, 0xc0, 21, 8, 0x43, 0x43, 0xa0, 1, 't', 0x43, 0x42, 0x42, 0x40,
			0, 0x53, frame.CodeTransactionalState, 0xc0, 6, 1, 0xa0, 3, 't', 'x', 'n')}, "detach handle=0 closed=true error=error(condition=:amqp:not-implemented"},
		"A7 larger than the limit":  {[]frames{part(first, make([]byte, 1001))}, "detach handle=0 closed=true error=error(condition=:amqp:link:message-size-exceeded"},
		"A7 larger, by its parts":   {[]frames{part(with(func(f *frame.Transfer) { f.More = true }), make([]byte, 999)), part(frame.Transfer{More: true}, make([]byte, 2))}, "detach handle=0 closed=true error=error(condition=:amqp:link:message-size-exceeded"},
		"A7 on a link that we send": {[]frames{part(with(func(f *frame.Transfer) { f.Handle = 1 }), nil)}, "end error=error(condition=:amqp:not-allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []*Delivery
			h := handler{attach: func(r *LinkRequest) {
				if r.Role == RoleSender {
					r.AcceptSender(SenderConfig{})
					return
				}
				keep(2, &got).Attach(r)
			}}
			scripted(t, &Server{Limits: Limits{MessageSize: 1000}}, h, func(p *script) {
				p.opened().send(sendingLink("l", 0))
				p.want("attach")
				p.send(receivingLink("r", 1))
				p.want("attach")
				p.send(tt.send...)
				p.want(tt.want)
			})
		})
	}
}

func TestA7_MoreForEverIsBounded(t *testing.T) {
	s := &Server{Limits: Limits{MessageSize: 1 << 20, Held: 1 << 20, Window: 1 << 20}}
	scripted(t, s, acceptAll(nil), func(p *script) {
		p.opened()
		// 64 KiB on each of 17 links, none of them ended.
		for i := range uint32(17) {
			p.send(sendingLink(fmt.Sprint(i), i))
			p.want("attach")
			p.send(part(frame.Transfer{Handle: i, DeliveryID: frame.Some(i), Tag: []byte{1}, More: true}, make([]byte, 60<<10)))
		}
		for i := range uint32(4) {
			p.send(part(frame.Transfer{Handle: i, More: true}, make([]byte, 1<<10)))
		}
		p.send(part(frame.Transfer{Handle: 5, More: true}, make([]byte, 10<<10)))
		p.want("detach handle=5 closed=true error=error(condition=:amqp:resource-limit-exceeded")
	})
}

func TestMessagesInManyFrames(t *testing.T) {
	var got []*Delivery
	scripted(t, &Server{}, keep(10, &got), func(p *script) {
		p.opened().send(sendingLink("l", 0))
		p.want("attach")
		p.send(part(frame.Transfer{DeliveryID: frame.Some(uint32(0)), Tag: []byte("t"), Format: frame.Some(FormatBatch), More: true}, []byte("one ")),
			frame.Empty, part(frame.Transfer{More: true}, nil), part(frame.Transfer{}, []byte("two")))
		// An aborted delivery is forgotten; its number and its credit are used.
		p.send(part(frame.Transfer{DeliveryID: frame.Some(uint32(1)), Tag: []byte("u"), More: true}, []byte("never")),
			part(frame.Transfer{Aborted: true}, nil),
			part(frame.Transfer{DeliveryID: frame.Some(uint32(2)), Tag: []byte("v"), Aborted: true}, nil),
			part(frame.Transfer{DeliveryID: frame.Some(uint32(3)), Tag: []byte("w"), Settled: frame.Some(true)}, []byte("last")))
		synctest.Wait()
		if len(got) != 2 || string(got[0].Payload()) != "one two" || got[0].Format() != FormatBatch || string(got[0].Tag()) != "t" || string(got[1].Payload()) != "last" {
			t.Fatalf("got %d deliveries: %v", len(got), got)
		}
		got[1].Accept() // says nothing: it was sent settled
		got[0].Accept()
		p.want("disposition role=true first=0 settled=true state=accepted()")
	})
}

func TestA8_Links(t *testing.T) {
	t.Run("A8 handle in use", func(t *testing.T) {
		scripted(t, &Server{}, acceptAll(nil), func(p *script) {
			p.opened().send(sendingLink("l", 0))
			p.want("attach")
			p.send(sendingLink("m", 0))
			p.want("end error=error(condition=:amqp:session:handle-in-use")
		})
	})
	t.Run("A8 handle above the maximum", func(t *testing.T) {
		scripted(t, &Server{}, acceptAll(nil), func(p *script) {
			p.opened().send(sendingLink("l", 64))
			p.want("close error=error(condition=:amqp:connection:framing-error")
		})
	})
	t.Run("A8 64 links, over all sessions", func(t *testing.T) {
		scripted(t, &Server{}, acceptAll(nil), func(p *script) {
			p.opened().send(begin(1))
			p.want("begin")
			for i := range uint32(64) {
				p.send(sendingLink(fmt.Sprint(i), i))
				p.want("attach")
			}
			p.send(onChannel(1, sendingLink("one more", 0)))
			p.want("attach", "[1] detach handle=0 closed=true error=error(condition=:amqp:resource-limit-exceeded")
			p.send(onChannel(1, detach(0)), detach(5))
			p.want("detach handle=5 closed=true")
			p.send(onChannel(1, sendingLink("one more", 0)))
			p.want(`[1] attach name="one more" handle=0 role=true snd-settle-mode=2`)
		})
	})
	t.Run("A8 10,000 links, one after the other", func(t *testing.T) {
		scripted(t, &Server{}, acceptAll(nil), func(p *script) {
			p.opened()
			for range 10_000 {
				p.send(sendingLink("l", 0))
				p.want("attach")
				p.send(detach(0))
				p.want("detach handle=0 closed=true")
				p.log.Reset()
			}
		})
	})
	t.Run("A8 a link attached again is stolen", func(t *testing.T) {
		var closed []error
		h := handler{attach: func(r *LinkRequest) {
			r.AcceptReceiver(ReceiverConfig{OnDelivery: (*Delivery).Accept, OnClose: func(err error) { closed = append(closed, err) }})
		}}
		scripted(t, &Server{}, h, func(p *script) {
			p.opened().send(sendingLink("l", 0))
			p.want("attach")
			p.send(sendingLink("l", 1))
			p.want("detach handle=0 closed=true error=error(condition=:amqp:link:stolen", `attach name="l" handle=1`)
			p.send(detach(0), detach(1))
			p.want("detach handle=1 closed=true")
			synctest.Wait()
			if len(closed) != 2 || closed[0] == nil || closed[1] != nil {
				t.Errorf("OnClose: %v", closed)
			}
		})
	})
	t.Run("A8 detach of one that is not attached", func(t *testing.T) {
		scripted(t, &Server{}, acceptAll(nil), func(p *script) {
			p.opened().send(sendingLink("l", 0), detach(0), detach(0))
			p.want("attach", "detach", "end error=error(condition=:amqp:session:unattached-handle")
		})
	})
}

func TestA14_DetachAndEndRaces(t *testing.T) {
	var rcv *Receiver
	h := handler{attach: func(r *LinkRequest) {
		rcv = r.AcceptReceiver(ReceiverConfig{Window: 100, OnDelivery: (*Delivery).Accept})
	}}
	t.Run("A14 transfers on their way when we detach", func(t *testing.T) {
		scripted(t, &Server{}, h, func(p *script) {
			p.opened().send(sendingLink("l", 0))
			p.want("attach")
			p.send(whole(0, 0))
			p.want("disposition")
			rcv.CloseWith(Errorf(ErrDetachForced, "enough"))
			p.want("detach handle=0 closed=true error=error(condition=:amqp:link:detach-forced")
			p.send(whole(0, 1), whole(0, 2), credit(0, 0, 0), detach(0), sendingLink("l", 0))
			p.want("attach")
			p.send(whole(0, 3))
			p.want("disposition role=true first=3")
		})
	})
	t.Run("A14 both detach", func(t *testing.T) {
		scripted(t, &Server{}, h, func(p *script) {
			p.opened().send(sendingLink("l", 0))
			p.want("attach")
			rcv.Detach(nil)
			p.send(detach(0))
			p.want("detach handle=0")
			p.send(sendingLink("l", 0))
			p.want("attach")
		})
	})
	t.Run("A14 both end", func(t *testing.T) {
		scripted(t, &Server{}, h, func(p *script) {
			p.opened().send(sendingLink("l", 0))
			p.want("attach")
			rcv.Session().CloseWith(nil)
			p.send(whole(0, 0), detach(0), credit(5, 0, 1), endSession)
			p.want("end")
			p.send(begin(0))
			p.want("begin remote-channel=0")
		})
	})
	t.Run("A14 the peer ends with links attached", func(t *testing.T) {
		scripted(t, &Server{}, h, func(p *script) {
			p.opened().send(sendingLink("l", 0))
			p.want("attach")
			p.send(endSession, begin(0))
			p.want("end", "begin")
			p.send(sendingLink("l", 0))
			p.want("attach")
		})
	})
	t.Run("A14 a link is accepted after its peer has gone", func(t *testing.T) {
		var r *LinkRequest
		scripted(t, &Server{}, handler{attach: func(q *LinkRequest) { r = q }}, func(p *script) {
			p.opened().send(sendingLink("l", 0), detach(0))
			p.want("attach", "detach")
			if rcv := r.AcceptReceiver(ReceiverConfig{Window: 1}); rcv.Err() != nil {
				t.Errorf("ended with %v", rcv.Err())
			}
			r.Refuse(nil)
			p.send(sendingLink("l", 0))
			synctest.Wait()
			r.Refuse(Errorf(ErrNotFound, "no such node"))
			p.want("attach", "detach handle=0 closed=true error=error(condition=:amqp:not-found")
		})
	})
}

func TestALinkIsRefusedInTheStandardForm(t *testing.T) {
	h := handler{attach: func(r *LinkRequest) { r.Refuse(Errorf(ErrUnauthorized, "not yours")) }}
	scripted(t, &Server{}, h, func(p *script) {
		p.opened().send(sendingLink("l", 0))
		p.want(`attach name="l" handle=0 role=true source=source(`)
		p.want(`detach handle=0 closed=true error=error(condition=:amqp:unauthorized-access description="not yours")`)
		p.send(receivingLink("l", 1))
		p.want(`attach name="l" handle=1 role=false target=target(`, "detach")
	})
	scripted(t, &Server{}, h, func(p *script) {
		p.opened().send(attach(frame.Attach{Name: "tx", Role: RoleSender, Target: &Target{Coordinator: true}}))
		p.want("attach", "detach handle=0 closed=true error=error(condition=:amqp:not-implemented")
	})
}

func TestRequestsNameTheNodeAtOurEnd(t *testing.T) {
	var got []string
	h := handler{attach: func(r *LinkRequest) {
		got = append(got, r.Address())
		r.Refuse(nil)
	}}
	scripted(t, &Server{}, h, func(p *script) {
		p.opened().send(sendingLink("a", 0))
		p.want("attach", "detach")
		p.send(receivingLink("b", 1))
		p.want("attach", "detach")
		p.send(attach(frame.Attach{Name: "c", Handle: 2, Role: RoleSender}))
		p.want("attach", "detach")
		p.send(attach(frame.Attach{Name: "d", Handle: 3, Role: RoleReceiver}))
		p.want("attach", "detach")
		if want := []string{"to", "from", "", ""}; !slices.Equal(got, want) {
			t.Errorf("addresses %q, want %q", got, want)
		}
	})
}

func TestDynamicNodesFiltersAndProperties(t *testing.T) {
	filter := Fields{{Key: "apache.org:selector-filter:string", Value: Described{Descriptor: Symbol("apache.org:selector-filter:string"), Value: "a > 1"}}}
	h := handler{attach: func(r *LinkRequest) {
		if r.Properties.Text("com.example:version") != "7" || !r.Source.Dynamic || r.Source.Address != "" {
			r.Refuse(Errorf(ErrInvalidField, "%+v", r))
			return
		}
		source := r.Source.Clone()
		source.Address = "made-up"
		r.AcceptSender(SenderConfig{Source: source, Properties: Fields{{Key: "com.example:answer", Value: int32(42)}}})
	}}
	synctest.Test(t, func(t *testing.T) {
		p := connect(t, &Server{}, ClientConfig{}, h)
		defer p.close(t)
		rcv, err := p.session(t).AttachReceiver(t.Context(), ReceiverConfig{Source: &Source{Dynamic: true, Filter: filter},
			Properties: Fields{{Key: "com.example:version", Value: "7"}}})
		if err != nil {
			t.Fatal(err)
		}
		got, _ := rcv.Properties().Get("com.example:answer")
		text, _ := rcv.Source().Filter.Get("apache.org:selector-filter:string")
		if rcv.Source().Address != "made-up" || got != int32(42) || text != filter[0].Value {
			t.Errorf("source %+v, properties %v", rcv.Source(), rcv.Properties())
		}
	})
}

func TestAPeerThatOverrunsTheWindowLosesItsSession(t *testing.T) {
	scripted(t, &Server{Limits: Limits{Window: 4}}, acceptAll(nil), func(p *script) {
		p.opened().send(sendingLink("l", 0))
		p.want("attach", "flow ")
		p.send(part(frame.Transfer{DeliveryID: frame.Some(uint32(0)), Tag: []byte("t"), More: true}, nil))
		// While the flow that renews the window is not read, no other can leave.
		for range 6 {
			p.send(part(frame.Transfer{More: true}, nil))
			synctest.Wait()
		}
		p.want("flow next-incoming-id=2 incoming-window=4", "end error=error(condition=:amqp:session:window-violation")
	})
}
