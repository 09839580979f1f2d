package amqp10

import (
	"regexp"
	"testing"

	"sluice/amqp10/internal/frame"
	"sluice/amqp10/internal/wire"
)

// states are those of a peer that may send a performative [AMQP 2.4.6, 2.5.5, 2.6.5]:
// what it has sent before, and what we have answered to that.
var states = []struct {
	name string
	sent []frames
	want []string
}{
	{"before the open", nil, nil},
	{"opened", []frames{open(nil)}, []string{"open "}},
	{"begun", []frames{open(nil), begin(0)}, []string{"open ", "begin"}},
	{"attached", []frames{open(nil), begin(0), sendingLink("l", 0)}, []string{"open ", "begin", "attach"}},
	{"detached", []frames{open(nil), begin(0), sendingLink("l", 0), detach(0)}, []string{"open ", "begin", "attach", "detach"}},
	{"ended", []frames{open(nil), begin(0), endSession}, []string{"open ", "begin", "end"}},
	{"we ended", []frames{open(nil), begin(0), detach(7)}, []string{"open ", "begin", "end error"}},
	{"we closed", []frames{open(nil), begin(0), open(nil)}, []string{"open ", "begin", "close error"}},
	{"closed", []frames{open(nil), begin(0), closeConn}, []string{"open ", "begin", "close"}},
}

var performatives = map[string]frames{
	"open":        open(nil),
	"begin":       begin(0),
	"attach":      sendingLink("m", 0),
	"flow":        flow(frame.Flow{NextIncomingID: frame.Some(uint32(0)), IncomingWindow: 100, OutgoingWindow: 100}),
	"link's flow": flow(frame.Flow{NextIncomingID: frame.Some(uint32(0)), IncomingWindow: 100, OutgoingWindow: 100, Handle: frame.Some(uint32(0))}),
	"transfer":    whole(0, 0),
	"disposition": disposition(frame.Disposition{Role: RoleReceiver, Settled: true, State: Accepted}),
	"detach":      detach(0),
	"end":         endSession,
	"close":       closeConn,
}

// illegal are the conditions with which the specification has us answer what a state
// does not allow; what is not here is allowed, or comes after an end and is ignored.
var illegal = map[string]map[string]Condition{
	// A close says why, if not by the letter: the connection ends as it asks.
	"before the open": {
		"begin": ErrIllegalState, "attach": ErrIllegalState, "flow": ErrIllegalState, "link's flow": ErrIllegalState,
		"transfer": ErrIllegalState, "disposition": ErrIllegalState, "detach": ErrIllegalState, "end": ErrIllegalState,
	},
	"opened": {
		"open": ErrIllegalState, "attach": ErrIllegalState, "flow": ErrIllegalState, "link's flow": ErrIllegalState,
		"transfer": ErrIllegalState, "disposition": ErrIllegalState, "detach": ErrIllegalState, "end": ErrIllegalState,
	},
	"begun": {
		"open": ErrIllegalState, "begin": ErrIllegalState,
		"link's flow": ErrUnattachedHandle, "transfer": ErrUnattachedHandle, "detach": ErrUnattachedHandle,
	},
	"attached": {"open": ErrIllegalState, "begin": ErrIllegalState, "attach": ErrHandleInUse},
	"detached": {
		"open": ErrIllegalState, "begin": ErrIllegalState,
		"link's flow": ErrUnattachedHandle, "transfer": ErrUnattachedHandle, "detach": ErrUnattachedHandle,
	},
	"ended": {
		"open": ErrIllegalState, "attach": ErrIllegalState, "flow": ErrIllegalState, "link's flow": ErrIllegalState,
		"transfer": ErrIllegalState, "disposition": ErrIllegalState, "detach": ErrIllegalState, "end": ErrIllegalState,
	},
	// Until the peer has answered our end, what it sends on the channel was sent
	// before it knew; a second open or begin was not.
	"we ended": {"open": ErrIllegalState, "begin": ErrIllegalState},
}

func TestA14_EveryPerformativeInEveryState(t *testing.T) {
	for _, state := range states {
		for name, send := range performatives {
			t.Run(state.name+", "+name, func(t *testing.T) {
				scripted(t, &Server{}, acceptAll(nil), func(p *script) {
					p.header(frame.ProtoAMQP)
					p.wantHeader(frame.ProtoAMQP)
					for i, f := range state.sent {
						p.send(f)
						p.want(state.want[i])
					}
					go p.whisper(send, closeConn)
					got := p.conditions()
					if want := illegal[state.name][name]; len(got) > 1 || len(got) == 0 && want != "" || len(got) == 1 && got[0] != want {
						t.Errorf("answered with %q, want %q\n%s", got, want, p.log.String())
					}
				})
			})
		}
	}
}

// whisper sends to a server that may have gone.
func (p *script) whisper(all ...frames) {
	for _, f := range all {
		var w wire.Encoder
		f(&w)
		_, _ = p.nc.Write(w.B)
	}
}

var conditionText = regexp.MustCompile(`error=error\(condition=:([a-z0-9:-]+)`)

// conditions reads until the end, and returns those of the errors that came.
func (p *script) conditions() (all []Condition) {
	for line := p.next(); line != "EOF"; line = p.next() {
		if m := conditionText.FindStringSubmatch(line); m != nil {
			all = append(all, Condition(m[1]))
		}
	}
	return all
}
