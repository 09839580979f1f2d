package amqp10

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sluice/amqp10/internal/frame"
	"sluice/amqp10/internal/wire"
)

func TestConnectionOpensAndCloses(t *testing.T) {
	scripted(t, &Server{ContainerID: "server"}, acceptAll(nil), func(p *script) {
		p.header(frame.ProtoAMQP)
		p.wantHeader(frame.ProtoAMQP)
		p.send(open(nil))
		p.want("open container-id=\"server\" max-frame-size=65536 channel-max=15 idle-time-out=240000")
		p.send(closeConn)
		p.want("close")
		p.wantEOF()
		if err := p.end(); err != nil {
			t.Errorf("ended with %v", err)
		}
	})
}

// A peer may send everything before it has heard anything.
func TestAPeerThatPipelinesIsServed(t *testing.T) {
	scripted(t, &Server{Mechanisms: []*Mechanism{Anonymous(nil)}}, acceptAll(nil), func(p *script) {
		go func() {
			var w wire.Encoder
			w.B = append(w.B, frame.ProtoSASL...)
			(&frame.Init{Mechanism: MechanismAnonymous}).Append(&w)
			w.B = append(w.B, frame.ProtoAMQP...)
			for _, f := range []frames{open(nil), begin(0), sendingLink("l", 0)} {
				f(&w)
			}
			_, _ = p.nc.Write(w.B)
		}()
		p.wantHeader(frame.ProtoSASL)
		p.want("sasl-mechanisms", "sasl-outcome code=0")
		p.wantHeader(frame.ProtoAMQP)
		p.want("open", "begin", "attach", "flow ")
	})
}

func TestA1_BadFramesEndTheConnection(t *testing.T) {
	for name, b := range map[string][]byte{
		"size of 0":            {0, 0, 0, 0, 2, 0, 0, 0},
		"size of 7":            {0, 0, 0, 7, 2, 0, 0, 0},
		"4 GiB":                {0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0},
		"one more than agreed": {0, 1, 0, 1, 2, 0, 0, 0},
		"data offset of 1":     {0, 0, 0, 8, 1, 0, 0, 0},
		"data offset past it":  {0, 0, 0, 8, 3, 0, 0, 0},
		"SASL frame":           {0, 0, 0, 8, 2, 1, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			scripted(t, &Server{}, acceptAll(nil), func(p *script) {
				p.opened()
				p.send(raw(b...))
				p.want("close error=error(condition=:amqp:connection:framing-error")
				p.wantEOF()
			})
		})
	}
}

func TestA2_MaxFrameSize(t *testing.T) {
	for _, size := range []uint32{0, 1, 511} {
		scripted(t, &Server{}, acceptAll(nil), func(p *script) {
			p.header(frame.ProtoAMQP)
			p.wantHeader(frame.ProtoAMQP)
			p.send(open(func(o *frame.Open) { o.MaxFrameSize = frame.Some(size) }))
			p.want("open", "close error=error(condition=:amqp:invalid-field")
			p.wantEOF()
		})
	}
	scripted(t, &Server{}, acceptAll(nil), func(p *script) {
		p.header(frame.ProtoAMQP)
		p.wantHeader(frame.ProtoAMQP)
		p.send(open(func(o *frame.Open) { o.MaxFrameSize = frame.Some(uint32(512)) }))
		p.want("open")
		p.send(begin(0))
		p.want("begin")
	})
}

func TestA9_ChannelsAndSessions(t *testing.T) {
	beginOn := func(channel uint16) frames { return begin(channel) }
	t.Run("A9 channel above channel-max", func(t *testing.T) {
		scripted(t, &Server{}, acceptAll(nil), func(p *script) {
			p.opened().send(beginOn(16))
			p.want("close error=error(condition=:amqp:connection:framing-error")
		})
	})
	t.Run("A9 begin twice", func(t *testing.T) {
		scripted(t, &Server{}, acceptAll(nil), func(p *script) {
			p.opened().send(beginOn(0))
			p.want("close error=error(condition=:amqp:illegal-state")
		})
	})
	t.Run("A9 answer to a begin that was not", func(t *testing.T) {
		scripted(t, &Server{}, acceptAll(nil), func(p *script) {
			p.opened().send(func(w *wire.Encoder) {
				b := frame.BeginSession{RemoteChannel: frame.Some(uint16(9))}
				b.Append(w, 1)
			})
			p.want("close error=error(condition=:amqp:illegal-state")
		})
	})
	t.Run("A9 as many as agreed, ended and begun again", func(t *testing.T) {
		scripted(t, &Server{Limits: Limits{Sessions: 2}}, acceptAll(nil), func(p *script) {
			p.opened()
			p.send(beginOn(1))
			p.want("[1] begin remote-channel=1")
			for range 100 {
				p.send(endSession, beginOn(0))
				p.want("[0] end", "[0] begin remote-channel=0")
			}
			p.send(beginOn(2))
			p.want("framing-error")
		})
	})
}

func TestA12_IdleTimes(t *testing.T) {
	t.Run("A12 less than a second is refused", func(t *testing.T) {
		scripted(t, &Server{}, acceptAll(nil), func(p *script) {
			p.header(frame.ProtoAMQP)
			p.wantHeader(frame.ProtoAMQP)
			p.send(open(func(o *frame.Open) { o.IdleTimeout = frame.Some(uint32(1)) }))
			p.want("open", "close error=error(condition=:amqp:invalid-field")
		})
	})
	for idle, beat := range map[uint32]time.Duration{1000: 500 * time.Millisecond, 60_000: 30 * time.Second, 1<<32 - 1: maxHeartbeat} {
		scripted(t, &Server{Limits: Limits{Idle: 24 * time.Hour}}, acceptAll(nil), func(p *script) {
			p.header(frame.ProtoAMQP)
			p.wantHeader(frame.ProtoAMQP)
			p.send(open(func(o *frame.Open) { o.IdleTimeout = frame.Some(idle) }))
			p.want("open")
			for range 5 {
				start := time.Now()
				p.want("heartbeat")
				if got := time.Since(start); got < beat/2 || got > beat+time.Millisecond {
					t.Errorf("idle time-out of %d ms: a heartbeat after %v, want %v", idle, got, beat)
				}
			}
		})
	}
	t.Run("A12 a silent peer is closed in time", func(t *testing.T) {
		scripted(t, &Server{Limits: Limits{Idle: time.Minute}}, acceptAll(nil), func(p *script) {
			p.opened()
			start := time.Now()
			p.want("heartbeat", "close error=error(condition=:amqp:resource-limit-exceeded")
			if got := time.Since(start); got != 2*time.Minute {
				t.Errorf("closed after %v", got)
			}
			p.wantEOF()
		})
	})
	t.Run("A12 a peer that we do not read is not called silent", func(t *testing.T) {
		var kept []*Delivery
		limits := Limits{Idle: time.Minute, Held: 1}
		for _, h := range []handler{keep(10, &kept), {attach: func(r *LinkRequest) {
			r.AcceptReceiver(ReceiverConfig{Window: 10, OnDelivery: func(d *Delivery) { time.Sleep(time.Hour); d.Accept() }})
		}}} {
			scripted(t, &Server{Limits: limits}, h, func(p *script) {
				p.opened().send(sendingLink("l", 0))
				p.want("attach")
				p.send(whole(0, 0))
				start := time.Now()
				for time.Since(start) < 59*time.Minute {
					p.want("heartbeat")
				}
				if kept != nil {
					kept[0].Accept()
				}
				p.wantBeyondHeartbeats("disposition")
				kept = nil
			})
		}
	})
	t.Run("A12 heartbeats keep a connection", func(t *testing.T) {
		scripted(t, &Server{Limits: Limits{Idle: time.Minute}}, acceptAll(nil), func(p *script) {
			p.opened()
			go func() { _, _ = io.Copy(io.Discard, p.nc) }()
			for range 100 {
				time.Sleep(50 * time.Second)
				p.send(frame.Empty)
			}
			select {
			case <-p.done:
				t.Errorf("ended with %v", p.err)
			default:
			}
		})
	})
}

func TestA13_OtherProtocolsGetOurHeader(t *testing.T) {
	for name, b := range map[string]string{
		"HTTP":       "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"TLS hello":  "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		"AMQP 0-9-1": "AMQP\x00\x00\x09\x01",
		"AMQP 1.1":   "AMQP\x00\x01\x01\x00",
		"AMQP TLS":   frame.ProtoTLS,
	} {
		t.Run(name, func(t *testing.T) {
			for _, s := range []*Server{{}, {Mechanisms: []*Mechanism{Anonymous(nil)}}} {
				scripted(t, s, acceptAll(nil), func(p *script) {
					go func() { _, _ = p.nc.Write([]byte(b)) }()
					if s.Mechanisms == nil {
						p.wantHeader(frame.ProtoAMQP)
					} else {
						p.wantHeader(frame.ProtoSASL)
					}
					p.wantEOF()
				})
			}
		})
	}
}

func TestAHandshakeThatTakesTooLongEnds(t *testing.T) {
	for name, start := range map[string]func(p *script){
		"nothing":     func(*script) {},
		"half header": func(p *script) { p.write([]byte("AMQP")) },
		"no open": func(p *script) {
			p.header(frame.ProtoAMQP)
			p.wantHeader(frame.ProtoAMQP)
		},
		"heartbeats for an open": func(p *script) {
			p.header(frame.ProtoAMQP)
			p.wantHeader(frame.ProtoAMQP)
			for range 9 {
				p.send(frame.Empty)
				time.Sleep(time.Second)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			scripted(t, &Server{}, acceptAll(nil), func(p *script) {
				begun := time.Now()
				start(p)
				p.wantEOF()
				if got := time.Since(begun); got != 10*time.Second {
					t.Errorf("ended after %v", got)
				}
				if err := p.end(); !errors.Is(err, errHandshakeTime) {
					t.Errorf("ended with %v", err)
				}
			})
		})
	}
}

func TestA14_FramesAfterCloseAreIgnored(t *testing.T) {
	scripted(t, &Server{}, acceptAll(nil), func(p *script) {
		p.opened()
		p.send(raw(0, 0, 0, 12, 2, 0, 0, 0, 0, 0x53, 0x7f, 0x45)) // no performative
		p.want("close error=error(condition=:amqp:decode-error")
		p.send(whole(7, 9), begin(15), endSession, raw(0, 0, 0, 8, 2, 0, 0, 0), closeConn)
		p.wantEOF()
	})
	t.Run("a peer that never answers our close", func(t *testing.T) {
		scripted(t, &Server{}, acceptAll(nil), func(p *script) {
			p.opened()
			p.send(open(nil))
			p.want("close error=error(condition=:amqp:illegal-state")
			start := time.Now()
			p.wantEOF()
			if got := time.Since(start); got > 2*lingerTime {
				t.Errorf("the socket was closed after %v", got)
			}
		})
	})
}

// Every performative in a state where it is illegal, with the condition that
// the specification names for it.
func TestA14_PerformativesInTheWrongState(t *testing.T) {
	const (
		decode   = "close error=error(condition=:amqp:decode-error"
		state    = "close error=error(condition=:amqp:illegal-state"
		missing  = "close error=error(condition=:amqp:invalid-field"
		unattach = "[0] end error=error(condition=:amqp:session:unattached-handle"
	)
	empty := func(code byte) frames { return raw(0, 0, 0, 12, 2, 0, 0, 0, 0, 0x53, code, 0x45) }
	for name, tt := range map[string]struct {
		send frames
		want string
	}{
		"open again":               {open(nil), state},
		"SASL performative":        {empty(frame.CodeInit), decode},
		"not a described type":     {raw(0, 0, 0, 9, 2, 0, 0, 0, 0x40), decode},
		"empty attach":             {empty(frame.CodeAttach), missing},
		"empty begin":              {empty(frame.CodeBegin), missing},
		"empty transfer":           {empty(frame.CodeTransfer), missing},
		"empty flow":               {empty(frame.CodeFlow), missing},
		"empty disposition":        {empty(frame.CodeDisposition), missing},
		"empty detach":             {empty(frame.CodeDetach), missing},
		"flow, unknown handle":     {credit(9, 0, 1), unattach},
		"transfer, unknown handle": {whole(9, 0), unattach},
		"detach, unknown handle":   {detach(9), unattach},
		"attach, no such session":  {onChannel(3, sendingLink("l", 0)), state},
		"end, no such session":     {onChannel(3, endSession), state},
		"flow, no such session":    {onChannel(3, credit(0, 0, 1)), state},
		"channel above maximum":    {onChannel(99, endSession), "close error=error(condition=:amqp:connection:framing-error"},
		"attach cut short":         {raw(0, 0, 0, 14, 2, 0, 0, 0, 0, 0x53, 0x12, 0xc0, 0xff, 1), decode},
	} {
		t.Run(name, func(t *testing.T) {
			scripted(t, &Server{}, acceptAll(nil), func(p *script) {
				p.opened()
				p.send(tt.send)
				p.want(tt.want)
			})
		})
	}
	for name, f := range map[string]frames{"begin": begin(0), "attach": sendingLink("l", 0), "transfer": whole(0, 0), "end": endSession,
		"open on channel 1": onChannel(1, open(nil))} {
		t.Run(name+" before open", func(t *testing.T) {
			scripted(t, &Server{}, acceptAll(nil), func(p *script) {
				p.header(frame.ProtoAMQP)
				p.wantHeader(frame.ProtoAMQP)
				p.send(f)
				p.want("open", state)
				p.wantEOF()
			})
		})
	}
}

// onChannel moves a frame to another channel.
func onChannel(channel byte, f frames) frames {
	return func(w *wire.Encoder) {
		start := len(w.B)
		f(w)
		w.B[start+7] = channel
	}
}

func TestOpenRefusesWithTheReason(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		want string
	}{
		"an Error":      {Errorf(ErrConnectionRedirect, "go there"), `condition=:amqp:connection:redirect description="go there"`},
		"another error": {errors.New("secret"), `condition=:amqp:internal-error description="internal error"`},
	} {
		t.Run(name, func(t *testing.T) {
			s := &Server{Open: func(*Conn) (Handler, error) { return nil, tt.err }}
			scripted(t, s, nil, func(p *script) {
				p.header(frame.ProtoAMQP)
				p.wantHeader(frame.ProtoAMQP)
				p.send(open(nil))
				p.want("open", tt.want)
				p.wantEOF()
			})
		})
	}
}

func TestAPanicInACallbackEndsItsConnectionOnly(t *testing.T) {
	boom := handler{attach: func(*LinkRequest) { panic("boom") }}
	scripted(t, &Server{}, boom, func(p *script) {
		p.opened().send(sendingLink("l", 0))
		p.want("close error=error(condition=:amqp:internal-error")
		p.wantEOF()
	})
	s := &Server{Open: func(*Conn) (Handler, error) { panic("boom") }}
	scripted(t, s, nil, func(p *script) {
		p.header(frame.ProtoAMQP)
		p.wantHeader(frame.ProtoAMQP)
		p.send(open(nil))
		p.want("open", "close error=error(condition=:amqp:internal-error")
		p.wantEOF()
	})
}

func TestShutdownTellsPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var why error
		p := connect(t, &Server{}, ClientConfig{}, handler{closed: func(err error) { why = err }})
		synctest.Wait()
		p.server.CloseWith(Errorf(ErrConnectionForced, "maintenance"))
		<-p.client.Done()
		if err := p.client.Err(); !errors.Is(err, &Error{Condition: ErrConnectionForced}) || !strings.Contains(err.Error(), "maintenance") {
			t.Errorf("the client's connection ended with %v", err)
		}
		if err := <-p.ended; !errors.Is(err, &Error{Condition: ErrConnectionForced}) || why != err {
			t.Errorf("the server's ended with %v, its handler heard %v", err, why)
		}
		if _, err := p.client.NewSession(t.Context()); err == nil {
			t.Error("a session on a connection that has ended")
		}
	})
}
