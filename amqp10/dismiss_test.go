package amqp10

import (
	"context"
	"net"
	"strings"
	"testing"
	"testing/synctest"
)

func TestDismissSaysWhyAtEverySession(t *testing.T) {
	var server *Conn
	var s Server
	s.Open = func(c *Conn) (Handler, error) { server = c; return acceptAll(nil), nil }
	scripted(t, &s, nil, func(p *script) {
		p.opened()
		p.send(begin(1), sendingLink("events", 0))
		p.want("[1] begin", "[0] attach")
		server.Dismiss(Errorf(ErrDetachForced, "maintenance"))
		p.want("[0] end error=error(condition=:amqp:link:detach-forced", "[1] end error=error(condition=:amqp:link:detach-forced",
			"close error=error(condition=:amqp:link:detach-forced")
		server.Dismiss(nil) // changes nothing
		p.send(closeConn)
		p.wantEOF()
	})
}

// A server whose context ends closes its connections with amqp:connection:forced,
// or as it was told to.
func TestStoppingIsWhatPeersHearAtTheEnd(t *testing.T) {
	for name, tt := range map[string]struct {
		stopping *Error
		want     []string
	}{
		"by default": {nil, []string{"close error=error(condition=:amqp:connection:forced"}},
		"with a reason": {Errorf(ErrDetachForced, "maintenance"), []string{"[0] end error=error(condition=:amqp:link:detach-forced",
			"close error=error(condition=:amqp:link:detach-forced"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				ctx, cancel := context.WithCancel(t.Context())
				s := &Server{Stopping: tt.stopping, Open: func(*Conn) (Handler, error) { return acceptAll(nil), nil }}
				p := &script{t: t, nc: theirs, done: make(chan struct{})}
				p.rd.r = theirs
				go func() {
					defer close(p.done)
					p.err = s.ServeConn(ctx, ours)
				}()
				p.opened()
				cancel()
				p.want(tt.want...)
				p.send(closeConn)
				p.wantEOF()
				if err := p.end(); err == nil || !strings.Contains(err.Error(), string(forced.Condition)) && tt.stopping == nil {
					t.Errorf("the connection ended with %v", err)
				}
			})
		})
	}
}

// A link that is accepted after its peer has gone has ended, and says so.
func TestALinkAcceptedTooLateSaysThatItHasEnded(t *testing.T) {
	var asked []*LinkRequest
	h := handler{attach: func(r *LinkRequest) { asked = append(asked, r) }}
	scripted(t, &Server{}, h, func(p *script) {
		p.opened()
		p.send(sendingLink("in", 0), receivingLink("out", 1), detach(0), detach(1))
		p.want("attach", "detach", "attach", "detach")
		synctest.Wait()
		ended := 0
		for _, r := range asked {
			if r.Role == RoleReceiver {
				r.AcceptReceiver(ReceiverConfig{Window: 1, OnClose: func(error) { ended++ }})
			} else {
				r.AcceptSender(SenderConfig{OnClose: func(error) { ended++ }})
			}
		}
		synctest.Wait()
		if ended != 2 {
			p.t.Errorf("of 2 links %d said that they have ended", ended)
		}
	})
}

// Credit that comes while the peer does not read what was sent before is offered
// again when it does.
func TestCreditDuringBackpressureIsOfferedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var first, second *Sender
		offered := 0
		h := handler{attach: func(r *LinkRequest) {
			if r.Name == "first" {
				first = r.AcceptSender(SenderConfig{})
				return
			}
			second = r.AcceptSender(SenderConfig{OnCredit: func(uint32, bool) { offered++ }})
		}}
		s := &Server{Limits: Limits{Outgoing: 10_000}}
		p := newScript(t, s, h)
		defer p.end()
		p.opened()
		p.send(receivingLink("first", 0), receivingLink("second", 1))
		p.want("attach", "attach")
		p.send(credit(0, 0, 100))
		synctest.Wait()
		sent := 0
		for first.Send(Outgoing{Payload: make([]byte, 1000)}) == nil { // the script does not read
			sent++
		}
		p.send(credit(1, 0, 5))
		synctest.Wait()
		if offered != 0 || second.Credit() != 0 {
			t.Fatalf("credit was offered %d times to a peer that does not read; %d are left", offered, second.Credit())
		}
		for range sent {
			p.want("transfer")
		}
		synctest.Wait()
		if offered == 0 {
			t.Error("credit was not offered again")
		}
	})
}
