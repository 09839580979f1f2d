package amqp10

import (
	"strings"
	"testing"
	"testing/synctest"

	"sluice/amqp10/internal/frame"
)

// unsendable are errors with more in them than a peer with small frames takes,
// or than AMQP has types for.
func unsendable() map[string]*Error {
	return map[string]*Error{
		"long":         Errorf(ErrNotFound, "%s", strings.Repeat("ü", 1000)),
		"not UTF-8":    Errorf(ErrNotFound, "no \xff"),
		"no such type": {Condition: ErrNotFound, Info: Fields{{Key: "x", Value: struct{}{}}}},
		"long info":    {Condition: ErrNotFound, Info: Fields{{Key: "x", Value: make([]byte, 600)}}},
	}
}

// What an application says never breaks the connection on which it says it.
func TestErrorsAreClippedToWhatCanBeSaid(t *testing.T) {
	for name, err := range unsendable() {
		t.Run(name, func(t *testing.T) {
			var got []*Delivery
			h := handler{attach: func(r *LinkRequest) {
				if r.Name == "refused" {
					r.Refuse(err)
					return
				}
				keep(5, &got).Attach(r)
			}}
			scripted(t, &Server{}, h, func(p *script) {
				p.header(frame.ProtoAMQP)
				p.wantHeader(frame.ProtoAMQP)
				p.send(open(func(o *frame.Open) { o.MaxFrameSize = frame.Some(uint32(512)) }))
				p.want("open")
				p.send(begin(0))
				p.want("begin")
				p.send(sendingLink("refused", 0))
				p.want("attach", "detach handle=0 closed=true error=error(condition=:amqp:not-found")
				p.send(detach(0), sendingLink("l", 0))
				p.want("attach")
				p.send(whole(0, 0), whole(0, 1))
				synctest.Wait()
				got[0].Reject(err)
				p.want("state=rejected(error=error(condition=:amqp:not-found")
				got[1].Settle(Outcome{Kind: KindModified, Annotations: Fields{{Key: "x", Value: make([]byte, 600)}}})
				p.want("state=modified()")
				s := got[0].Receiver().Session()
				s.CloseWith(err)
				p.want("end error=error(condition=:amqp:not-found")
				s.Conn().CloseWith(err)
				p.want("close error=error(condition=:amqp:not-found")
			})
		})
	}
}

func TestLinksThatCannotBeSaidAreNotAttached(t *testing.T) {
	for name, properties := range map[string]Fields{
		"no such type": {{Key: "x", Value: struct{}{}}},
		"too long":     {{Key: "x", Value: make([]byte, 1000)}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var accepted *Receiver
				h := handler{attach: func(r *LinkRequest) {
					closed := func(error) { t.Error("OnClose of a link that never was") }
					accepted = r.AcceptReceiver(ReceiverConfig{Properties: properties, OnClose: closed})
				}}
				p := connect(t, &Server{Limits: Limits{FrameSize: 512}}, ClientConfig{}, h)
				defer p.close(t)
				s := p.session(t)
				for range 100 { // and no handle is used up
					if _, err := s.AttachSender(t.Context(), SenderConfig{Properties: properties}); err == nil {
						t.Fatal("attached")
					}
					if _, err := s.AttachReceiver(t.Context(), ReceiverConfig{Properties: properties}); err == nil {
						t.Fatal("attached")
					}
				}
				_, err := s.AttachSender(t.Context(), SenderConfig{})
				synctest.Wait()
				if err == nil || accepted.Err() == nil {
					t.Errorf("AttachSender = %v, accepted: %v", err, accepted.Err())
				}
			})
		})
	}
}

func TestAnOpenThatCannotBeSaid(t *testing.T) {
	scripted(t, &Server{Properties: Fields{{Key: "x", Value: struct{}{}}}}, nil, func(p *script) {
		p.header(frame.ProtoAMQP)
		p.wantHeader(frame.ProtoAMQP)
		p.send(open(nil))
		p.wantEOF()
	})
}
