package amqp10

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"sluice/amqp10/internal/frame"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the conversations in testdata")

// TestConversations keeps one conversation of each kind as text, as a peer
// sees it: C> is the peer, S> this package's server.
func TestConversations(t *testing.T) {
	var got []*Delivery
	settleLate := keep(10, &got)
	var snd *Sender
	for name, tt := range map[string]struct {
		mechanisms []*Mechanism
		handler    Handler
		talk       func(p *script)
	}{
		"telemetry": {[]*Mechanism{ada}, settleLate, func(p *script) {
			p.header(frame.ProtoSASL)
			p.wantHeader(frame.ProtoSASL)
			p.want("sasl-mechanisms")
			p.send(initFrame(frame.Init{Mechanism: MechanismPlain, Response: []byte("\x00ada\x00pa:ss=wörd&"), Hostname: "hub.example"}))
			p.want("sasl-outcome")
			p.opened().send(sendingLink("telemetry", 0))
			p.want("attach", "flow ")
			m, _ := telemetry().AppendTo(nil)
			p.send(part(frame.Transfer{DeliveryID: frame.Some(uint32(0)), Tag: []byte{0}}, m),
				part(frame.Transfer{DeliveryID: frame.Some(uint32(1)), Tag: []byte{1}, Format: frame.Some(FormatBatch)}, AppendBatch(nil, payload("inside"))),
				part(frame.Transfer{DeliveryID: frame.Some(uint32(2)), Tag: []byte{2}, More: true}, payload("in")[:4]),
				part(frame.Transfer{}, payload("in")[4:]))
			synctest.Wait()
			got[0].Accept()
			p.want("disposition")
			got[1].Reject(Errorf(ErrDecode, "batch: message 0: no"))
			p.want("disposition")
			got[2].Release()
			p.want("disposition")
			p.send(detach(0), endSession)
			p.want("detach", "end")
		}},
		"commands": {nil, acceptAll(func(s *Sender) { snd = s }), func(p *script) {
			p.opened().send(receivingLink("commands", 0))
			p.want("attach")
			p.send(credit(0, 0, 2))
			synctest.Wait()
			if err := snd.Send(Outgoing{Message: NewMessage([]byte("open the valve"))}); err != nil {
				t.Fatal(err)
			}
			p.want("transfer")
			p.send(disposition(frame.Disposition{Role: RoleReceiver, Settled: true, State: Accepted}))
			p.send(flow(frame.Flow{NextIncomingID: frame.Some(uint32(1)), IncomingWindow: 100, OutgoingWindow: 100, Handle: frame.Some(uint32(0)),
				DeliveryCount: frame.Some(uint32(1)), LinkCredit: frame.Some(uint32(5)), Drain: true}))
			p.want("flow ")
			snd.CloseWith(Errorf(ErrDetachForced, "the token has expired"))
			p.want("detach")
			p.send(detach(0))
		}},
		"refusals": {nil, handler{attach: func(r *LinkRequest) { r.Refuse(Errorf(ErrUnauthorized, "not yours")) }}, func(p *script) {
			p.opened().send(sendingLink("mine", 0))
			p.want("attach", "detach")
			p.send(detach(0), whole(5, 0))
			p.want("end")
			p.send(endSession, raw(0, 0, 0, 8, 2, 9, 0, 0))
			p.want("close")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			scripted(t, &Server{ContainerID: "server", Mechanisms: tt.mechanisms}, tt.handler, func(p *script) {
				tt.talk(p)
				p.send(closeConn)
				p.next()
				compare(t, name, p.log.String())
			})
		})
	}
}

func compare(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "conversations", name+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
