package amqp10

import (
	"slices"
	"testing"
	"testing/synctest"

	"sluice/amqp10/internal/frame"
)

// busyWriter has the server write something that the script does not read yet,
// so that what becomes due now leaves together.
func (p *script) busyWriter() {
	p.t.Helper()
	p.send(flow(frame.Flow{Echo: true}))
	synctest.Wait()
}

func TestOutcomesThatBecomeReadyTogetherLeaveAsRanges(t *testing.T) {
	var got []*Delivery
	scripted(t, &Server{}, keep(100, &got), func(p *script) {
		p.opened().send(sendingLink("l", 0))
		p.want("attach")
		for i := range uint32(20) {
			p.send(whole(0, i))
		}
		synctest.Wait()
		p.busyWriter()
		for _, i := range []int{0, 1, 2, 9, 8, 7, 6, 5, 12, 3, 4} {
			got[i].Accept()
		}
		got[10].Release()
		got[11].Reject(nil)
		p.want("disposition role=true first=0 last=9 settled=true state=accepted()")
		p.want("disposition role=true first=10 settled=true state=released()")
		p.want("disposition role=true first=11 settled=true state=rejected()")
		p.want("disposition role=true first=12 settled=true state=accepted()")
	})
}

func TestOutcomesAreSaidBeforeTheEnd(t *testing.T) {
	for name, end := range map[string]struct {
		f    func(*Receiver)
		want string
	}{
		"link":       {func(r *Receiver) { r.CloseWith(nil) }, "detach"},
		"session":    {func(r *Receiver) { r.Session().CloseWith(nil) }, "end"},
		"connection": {func(r *Receiver) { r.Conn().CloseWith(nil) }, "close"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []*Delivery
			scripted(t, &Server{}, keep(5, &got), func(p *script) {
				p.opened().send(sendingLink("l", 0))
				p.want("attach")
				p.send(whole(0, 0))
				synctest.Wait()
				got[0].Accept()
				end.f(got[0].Receiver())
				p.want("disposition role=true first=0 settled=true state=accepted()", end.want)
			})
		})
	}
}

func TestReceiverSecondSettlesAfterTheSender(t *testing.T) {
	var got []*Delivery
	scripted(t, &Server{}, keep(2, &got), func(p *script) {
		p.opened().send(attach(frame.Attach{Name: "l", Role: RoleSender, Target: &Target{}, ReceiverMode: frame.Some(ReceiveSecond)}))
		p.want("rcv-settle-mode=1", "flow ")
		p.send(whole(0, 0), whole(0, 1))
		synctest.Wait()
		got[0].Accept()
		p.want("disposition role=true first=0 state=accepted()")
		got[1].Accept()
		p.want("disposition role=true first=1 state=accepted()")
		p.send(disposition(frame.Disposition{Role: RoleSender, First: 0, Last: frame.Some(uint32(1)), Settled: true}))
		p.want("flow next-incoming-id=2 incoming-window=2048 next-outgoing-id=0 outgoing-window=2147483647 handle=0 delivery-count=2 link-credit=2")
	})
}

func TestAReceiverMaySettleFirstWhateverIsAsked(t *testing.T) {
	h := handler{attach: func(r *LinkRequest) {
		r.AcceptReceiver(ReceiverConfig{Window: 2, ReceiverMode: new(ReceiveFirst), OnDelivery: (*Delivery).Accept})
	}}
	scripted(t, &Server{}, h, func(p *script) {
		p.opened().send(attach(frame.Attach{Name: "l", Role: RoleSender, Target: &Target{}, ReceiverMode: frame.Some(ReceiveSecond)}))
		p.want("rcv-settle-mode=0", "flow ")
		p.send(part(frame.Transfer{DeliveryID: frame.Some(uint32(0)), Tag: []byte{0}, ReceiverMode: frame.Some(ReceiveSecond)}, payload("x")))
		p.want("disposition role=true first=0 settled=true state=accepted()")
	})
}

func TestASenderSettlesWhatAReceiverSecondHasDecided(t *testing.T) {
	var snd *Sender
	scripted(t, &Server{}, acceptAll(func(s *Sender) { snd = s }), func(p *script) {
		p.opened().send(receivingLink("l", 0))
		p.want("attach")
		p.send(credit(0, 0, 5))
		synctest.Wait()
		var got Outcome
		if err := snd.Send(Outgoing{Payload: payload("x"), Done: func(o Outcome, _ error) { got = o }}); err != nil {
			t.Fatal(err)
		}
		p.want("transfer")
		p.send(disposition(frame.Disposition{Role: RoleReceiver, State: Outcome{Kind: KindReceived}}),
			disposition(frame.Disposition{Role: RoleReceiver, State: Modified(true, true)}))
		p.want("disposition role=false first=0 settled=true state=modified(delivery-failed=true undeliverable-here=true)")
		synctest.Wait()
		if !got.DeliveryFailed || !got.UndeliverableHere || got.Kind != KindModified {
			t.Errorf("outcome %+v", got)
		}
	})
}

func TestSettledWithoutAnOutcomeTakesTheDefault(t *testing.T) {
	for _, def := range []Outcome{{}, Released} {
		var snd *Sender
		scripted(t, &Server{}, acceptAll(func(s *Sender) { snd = s }), func(p *script) {
			p.opened().send(attach(frame.Attach{Name: "l", Role: RoleReceiver, Source: &Source{DefaultOutcome: def}, Target: &Target{}}))
			p.want("attach")
			p.send(credit(0, 0, 5))
			synctest.Wait()
			got := Outcome{Kind: KindOther}
			if err := snd.Send(Outgoing{Payload: payload("x"), Done: func(o Outcome, _ error) { got = o }}); err != nil {
				t.Fatal(err)
			}
			p.want("transfer")
			p.send(disposition(frame.Disposition{Role: RoleReceiver, Settled: true}))
			synctest.Wait()
			if got.Kind != def.Kind {
				t.Errorf("outcome %v, want %v", got.Kind, def.Kind)
			}
		})
	}
}

// OnCredit hears of credit that is taken back, once, and not of that which was used.
func TestCreditThatIsTakenBack(t *testing.T) {
	var told []uint32
	var snd *Sender
	h := handler{attach: func(r *LinkRequest) {
		snd = r.AcceptSender(SenderConfig{OnCredit: func(n uint32, _ bool) { told = append(told, n) }})
	}}
	scripted(t, &Server{}, h, func(p *script) {
		p.opened().send(receivingLink("l", 0))
		p.want("attach")
		for _, step := range []struct {
			count, credit uint32
			sends         int
			want          []uint32
		}{
			{0, 0, 0, nil},
			{0, 5, 2, []uint32{5}},
			{2, 0, 0, []uint32{0}},
			{2, 0, 0, nil}, // again
			{2, 1, 1, []uint32{1}},
			{2, 1, 0, nil}, // on its way while that was sent
			{3, 0, 0, nil}, // it was used
		} {
			told = nil
			p.send(credit(0, step.count, step.credit))
			synctest.Wait()
			if !slices.Equal(told, step.want) {
				t.Errorf("%+v: told of %v", step, told)
			}
			for range step.sends {
				if err := snd.Send(Outgoing{Payload: payload("x"), Settled: true}); err != nil {
					t.Error(err)
				}
				p.want("transfer")
			}
		}
	})
}

func TestDrainGivesBackTheCredit(t *testing.T) {
	left := 0
	h := handler{attach: func(r *LinkRequest) {
		var s *Sender
		s = r.AcceptSender(SenderConfig{OnCredit: func(_ uint32, drain bool) {
			for ; left > 0; left-- {
				if s.Send(Outgoing{Payload: payload("x")}) != nil {
					return
				}
			}
		}})
	}}
	synctest.Test(t, func(t *testing.T) {
		p := connect(t, &Server{}, ClientConfig{}, h)
		defer p.close(t)
		rcv, err := p.session(t).AttachReceiver(t.Context(), ReceiverConfig{})
		if err != nil {
			t.Fatal(err)
		}
		for _, there := range []int{0, 3, 10, 12} {
			left = there
			rcv.IssueCredit(10)
			if err := rcv.Drain(t.Context()); err != nil {
				t.Fatal(err)
			}
			for range min(there, 10) {
				d, err := rcv.Receive(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				d.Accept()
			}
			synctest.Wait() // until the callback has counted
			if len(rcv.queue) != 0 || left != max(there-10, 0) {
				t.Errorf("of %d, %d are left and %d more were sent", there, left, len(rcv.queue))
			}
		}
	})
}

// Some clients count the frames of a delivery where they should count the
// delivery, and repeat its number and tag in each.
func TestDeliveryNumbersMayHaveGaps(t *testing.T) {
	var got []*Delivery
	scripted(t, &Server{}, keep(10, &got), func(p *script) {
		p.opened().send(sendingLink("l", 0))
		p.want("attach")
		p.send(part(frame.Transfer{DeliveryID: frame.Some(uint32(0)), Tag: []byte("t"), More: true}, []byte("a")),
			part(frame.Transfer{DeliveryID: frame.Some(uint32(0)), Tag: []byte("t")}, []byte("b")), whole(0, 2), whole(0, 1<<20))
		synctest.Wait()
		p.busyWriter()
		for _, d := range got {
			d.Accept()
		}
		p.want("disposition role=true first=0 settled", "disposition role=true first=2 settled", "disposition role=true first=1048576 settled")
		if string(got[0].Payload()) != "ab" {
			t.Errorf("payload %q", got[0].Payload())
		}
	})
}

// Delivery numbers are serial: after 2^32-1 comes 0.
func TestDeliveryNumbersGoAroundZero(t *testing.T) {
	var got []*Delivery
	scripted(t, &Server{}, keep(10, &got), func(p *script) {
		p.opened().send(sendingLink("l", 0))
		p.want("attach")
		p.send(whole(0, 1<<32-2), whole(0, 1<<32-1), whole(0, 0), whole(0, 1))
		synctest.Wait()
		p.busyWriter()
		for _, i := range []int{3, 0, 2, 1} {
			got[i].Accept()
		}
		p.want("disposition role=true first=4294967294 last=1 settled=true state=accepted()")
	})
}

// Azure's client in C does not take the answer to a request before the request is
// accepted.
func TestAnAnswerDoesNotOvertakeTheAcceptanceOfItsRequest(t *testing.T) {
	var answers *Sender
	h := handler{attach: func(r *LinkRequest) {
		if r.Role == RoleReceiver {
			r.AcceptReceiver(ReceiverConfig{Window: 5, OnDelivery: func(d *Delivery) {
				d.Accept()
				_ = answers.Send(Outgoing{Message: NewMessage(nil), Settled: true})
			}})
			return
		}
		answers = r.AcceptSender(SenderConfig{})
	}}
	scripted(t, &Server{}, h, func(p *script) {
		p.opened().send(receivingLink("answers", 1), credit(1, 0, 5), sendingLink("requests", 0))
		p.want("attach", "attach")
		synctest.Wait()
		p.send(flow(frame.Flow{NextIncomingID: frame.Some(uint32(0)), IncomingWindow: 100, OutgoingWindow: 100, Echo: true}))
		synctest.Wait()
		p.send(whole(0, 0))
		p.want("disposition role=true first=0 settled=true state=accepted()", "transfer handle=0")
	})
}
