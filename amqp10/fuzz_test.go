package amqp10

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"testing/synctest"

	"sluice/amqp10/internal/frame"
	"sluice/amqp10/internal/wire"
)

// stages are what a peer has sent, all of it right, before it turns hostile.
func stages() [][]byte {
	sasl := append([]byte(frame.ProtoSASL), appended(initFrame(frame.Init{Mechanism: MechanismAnonymous}))...)
	amqp := append([]byte(nil), frame.ProtoAMQP...)
	opened := append(amqp[:len(amqp):len(amqp)], appended(open(nil))...)
	begun := append(opened[:len(opened):len(opened)], appended(begin(0))...)
	linked := append(begun[:len(begun):len(begun)], appended(sendingLink("out", 0), receivingLink("in", 1), credit(1, 0, 5))...)
	busy := append(linked[:len(linked):len(linked)], appended(whole(0, 0), whole(0, 1),
		part(frame.Transfer{DeliveryID: frame.Some(uint32(2)), Tag: []byte("t"), More: true}, []byte("half")))...)
	closing := append(busy[:len(busy):len(busy)], appended(open(nil))...)
	return [][]byte{nil, sasl, amqp, opened, begun, linked, busy, closing}
}

// hostileSeeds are frames of every kind, right ones and wrong ones.
func hostileSeeds() [][]byte {
	return [][]byte{
		appended(open(nil)), appended(begin(1)), appended(endSession), appended(closeConn), appended(frame.Empty),
		appended(sendingLink("out", 2), whole(2, 3)), appended(receivingLink("in", 3), credit(3, 0, 1<<32-1)),
		appended(credit(1, 1<<31, 7)), appended(detach(0), detach(1)), appended(whole(0, 2), whole(0, 3)),
		appended(part(frame.Transfer{Aborted: true}, nil), whole(0, 3)),
		appended(disposition(frame.Disposition{Role: RoleReceiver, Last: frame.Some(uint32(1<<31 - 1)), Settled: true, State: Accepted})),
		appended(disposition(frame.Disposition{Role: RoleSender, Last: frame.Some(uint32(9)), State: Rejected(Errorf(ErrInternal, "x"))})),
		appended(flow(frame.Flow{IncomingWindow: 1 << 31, Handle: frame.Some(uint32(1)), LinkCredit: frame.Some(uint32(3)), Drain: true, Echo: true})),
		{0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0}, {0, 0, 0, 20, 2, 0, 0, 0, 0, 0x53, 0x12, 0xd0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	}
}

// FuzzConnection_A16 feeds a server hostile bytes after each stage. Whatever
// they are, the connection ends when its peer is gone, nothing panics, no
// goroutine is left (the bubble would not end), and what it holds is bounded.
func FuzzConnection_A16(f *testing.F) {
	for stage := range stages() {
		for _, seed := range hostileSeeds() {
			f.Add(byte(stage), seed)
		}
	}
	for _, b := range transcripts(f) {
		f.Add(byte(0), b)
	}
	f.Fuzz(func(t *testing.T, stage byte, hostile []byte) {
		all := stages()
		prelude := all[int(stage)%len(all)]
		synctest.Test(t, func(t *testing.T) { torment(t, prelude, hostile) })
	})
}

// transcripts are what three clients sent to a server: the conversations of
// test/amqp, with smaller messages.
func transcripts(t testing.TB) map[string][]byte {
	t.Helper()
	all := make(map[string][]byte)
	for _, name := range []string{"go-amqp", "proton", "rhea"} {
		b, err := os.ReadFile("testdata/transcripts/" + name + ".bin")
		if err != nil {
			t.Fatal(err)
		}
		all[name] = b
	}
	return all
}

// split cuts a transcript into what comes before its first AMQP frame, and its
// frames.
func split(t *testing.T, b []byte) (before []byte, all [][]byte) {
	t.Helper()
	at := bytes.Index(b, []byte(frame.ProtoAMQP)) + 8
	for rest := b[at:]; len(rest) > 0; {
		n := binary.BigEndian.Uint32(rest)
		all = append(all, rest[:n])
		rest = rest[n:]
	}
	return b[:at], all
}

// Real conversations, cut short, with their frames in another order, and with
// bytes changed.
func TestA16_TranscriptsMutated(t *testing.T) {
	rounds := 150
	if testing.Short() {
		rounds = 20
	}
	for name, whole := range transcripts(t) {
		t.Run(name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, uint64(len(whole))))
			before, frames := split(t, whole)
			for range rounds {
				synctest.Test(t, func(t *testing.T) { torment(t, whole[:rng.IntN(len(whole))], nil) })
				rng.Shuffle(len(frames)-2, func(i, j int) { frames[i+2], frames[j+2] = frames[j+2], frames[i+2] })
				synctest.Test(t, func(t *testing.T) { torment(t, before, bytes.Join(frames, nil)) })
				changed := bytes.Clone(whole)
				for range 1 + rng.IntN(5) {
					changed[len(before)+rng.IntN(len(changed)-len(before))] = byte(rng.Uint32())
				}
				synctest.Test(t, func(t *testing.T) { torment(t, nil, changed) })
			}
		})
	}
}

func torment(t *testing.T, prelude, hostile []byte) {
	ours, theirs := net.Pipe()
	var conn *Conn
	var senders []*Sender
	calls := 0
	anybody := Plain(func(context.Context, *Conn, Credentials) (any, error) { return nil, nil })
	s := &Server{Mechanisms: []*Mechanism{anybody, Anonymous(nil)}, Direct: Anonymous(nil),
		Limits: Limits{Held: 50_000, MessageSize: 10_000, Outgoing: 50_000}}
	s.Open = func(c *Conn) (Handler, error) { conn = c; return tormented(&calls, &senders), nil }
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.ServeConn(context.Background(), ours)
	}()
	go func() { _, _ = io.Copy(io.Discard, theirs) }()
	_, _ = theirs.Write(prelude)
	_, _ = theirs.Write(hostile)
	synctest.Wait()
	if conn != nil {
		checkBounds(t, conn, senders)
	}
	_ = theirs.Close()
	<-ended
	if calls != 0 {
		t.Errorf("%d messages were sent and heard nothing", calls)
	}
}

// tormented answers as a real handler might: deliveries late, credit with
// messages.
func tormented(calls *int, senders *[]*Sender) Handler {
	return handler{attach: func(r *LinkRequest) {
		if r.Role == RoleReceiver {
			r.AcceptReceiver(ReceiverConfig{Window: 10, OnDelivery: func(d *Delivery) { go d.Accept() }})
			return
		}
		var snd *Sender
		snd = r.AcceptSender(SenderConfig{OnCredit: func(uint32, bool) {
			for range 20 {
				if snd.Send(Outgoing{Payload: make([]byte, 1000), Done: func(Outcome, error) { *calls-- }}) != nil {
					return
				}
				*calls++
			}
		}})
		*senders = append(*senders, snd)
	}}
}

// checkBounds looks at what the limits promise.
func checkBounds(t *testing.T, c *Conn, senders []*Sender) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held > 60_000+perHeld || c.partial > 50_000 || c.queued() > 60_000 || c.links > c.limits.Links+1 || len(c.remote) > c.limits.Sessions {
		t.Errorf("held %d bytes, partial %d, queued %d, %d links, %d sessions", c.held, c.partial, c.queued(), c.links, len(c.remote))
	}
	for _, s := range senders {
		if s.waiting < 0 || s.s.unsettledOut.live < 0 {
			t.Errorf("%v: %d wait, %d unsettled", s, s.waiting, s.s.unsettledOut.live)
		}
	}
}

// FuzzClient_A16 is a client whose server is hostile, from the first byte or
// after the open.
func FuzzClient_A16(f *testing.F) {
	good := append([]byte(frame.ProtoAMQP), appended(open(nil))...)
	for _, seed := range append(hostileSeeds(), appended(answer)) {
		f.Add(true, seed)
		f.Add(false, seed)
	}
	f.Fuzz(func(t *testing.T, opened bool, hostile []byte) {
		synctest.Test(t, func(t *testing.T) {
			ours, theirs := net.Pipe()
			go func() { _, _ = io.Copy(io.Discard, theirs) }()
			go func() {
				if opened {
					_, _ = theirs.Write(good)
				}
				_, _ = theirs.Write(hostile)
				synctest.Wait()
				_ = theirs.Close()
			}()
			c, err := NewConn(t.Context(), ours, ClientConfig{})
			if err != nil {
				return
			}
			useClient(t, c)
			_ = c.Close(t.Context())
		})
	})
}

// useClient does what it can.
func useClient(t *testing.T, c *Conn) {
	s, err := c.NewSession(t.Context())
	if err != nil {
		return
	}
	if snd, err := s.AttachSender(t.Context(), SenderConfig{Name: "s"}); err == nil {
		_, _ = snd.Deliver(t.Context(), Outgoing{Payload: payload("x")})
	}
	if rcv, err := s.AttachReceiver(t.Context(), ReceiverConfig{Name: "r", Window: 5}); err == nil {
		if d, err := rcv.Receive(t.Context()); err == nil {
			d.Accept()
		}
	}
}

// answer is what a server says to useClient.
func answer(w *wire.Encoder) {
	b := frame.BeginSession{RemoteChannel: frame.Some(uint16(0)), IncomingWindow: 10}
	b.Append(w, 0)
	receivingLink("s", 0)(w)
	credit(0, 0, 3)(w)
	disposition(frame.Disposition{Role: RoleReceiver, Settled: true, State: Accepted})(w)
	sendingLink("r", 1)(w)
	whole(1, 0)(w)
}
