package amqp10

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sluice/amqp10/internal/frame"
	"sluice/amqp10/internal/wire"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// handler is a Handler made of functions.
type handler struct {
	attach func(*LinkRequest)
	closed func(error)
}

func (h handler) Attach(r *LinkRequest) { h.attach(r) }

func (h handler) Closed(err error) {
	if h.closed != nil {
		h.closed(err)
	}
}

// acceptAll accepts links; senders are given to got, deliveries are accepted.
func acceptAll(got func(*Sender)) handler {
	return handler{attach: func(r *LinkRequest) {
		if r.Role == RoleReceiver {
			r.AcceptReceiver(ReceiverConfig{Window: 10, OnDelivery: (*Delivery).Accept})
			return
		}
		s := r.AcceptSender(SenderConfig{})
		if got != nil {
			got(s)
		}
	}}
}

// script is a peer whose every frame the test writes and reads, and a record of
// the conversation.
type script struct {
	t    testing.TB
	nc   net.Conn
	rd   frameReader
	log  strings.Builder
	done chan struct{} // closed when ServeConn has returned
	err  error         // what it returned
}

// frames appends what a script sends.
type frames func(*wire.Encoder)

// scripted runs f in a bubble of its own, as the peer of a server's connection
// that answers with h, and waits for the connection to end.
func scripted(t *testing.T, s *Server, h Handler, f func(p *script)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := newScript(t, s, h)
		defer p.end()
		f(p)
	})
}

// newScript is for a bubble.
func newScript(t testing.TB, s *Server, h Handler) *script {
	ours, theirs := net.Pipe()
	if s.Open == nil {
		s.Open = func(*Conn) (Handler, error) { return h, nil }
	}
	p := &script{t: t, nc: theirs, done: make(chan struct{})}
	p.rd.r = theirs
	go func() {
		defer close(p.done)
		p.err = s.ServeConn(context.Background(), ours)
	}()
	return p
}

// end breaks the connection and returns what it ended with at the server.
func (p *script) end() error {
	_ = p.nc.Close()
	<-p.done
	return p.err
}

func (p *script) write(b []byte) {
	p.t.Helper()
	if _, err := p.nc.Write(b); err != nil {
		p.t.Fatalf("write: %v\n%s", err, p.log.String())
	}
}

func (p *script) header(proto string) {
	p.t.Helper()
	fmt.Fprintf(&p.log, "C> header %q\n", proto)
	p.write([]byte(proto))
}

func (p *script) wantHeader(proto string) {
	p.t.Helper()
	got, err := p.rd.header()
	if err != nil || string(got) != proto {
		p.t.Fatalf("header %q, %v; want %q\n%s", got, err, proto, p.log.String())
	}
	fmt.Fprintf(&p.log, "S> header %q\n", proto)
}

// send sends frames, each in a write of its own.
func (p *script) send(all ...frames) {
	p.t.Helper()
	for _, f := range all {
		var w wire.Encoder
		f(&w)
		fmt.Fprintf(&p.log, "C> %s\n", frame.Format(w.B))
		p.write(w.B)
	}
}

// next reads a frame, as text; "EOF" at the end.
func (p *script) next() string {
	b, err := p.read()
	if err != nil {
		return "EOF"
	}
	line := frame.Format(b)
	fmt.Fprintf(&p.log, "S> %s\n", line)
	return line
}

func (p *script) read() ([]byte, error) {
	if err := p.rd.fill(frame.HeaderSize); err != nil {
		return nil, err
	}
	h, err := frame.ParseHeader(p.rd.buf[p.rd.start:], 1<<30, p.rd.buf[p.rd.start+5])
	if err != nil {
		return nil, err
	}
	if err := p.rd.fill(int(h.Size)); err != nil {
		return nil, err
	}
	return p.rd.take(int(h.Size)), nil
}

// want reads one frame for each text and checks that it is in there. Flows
// come when they are due, and are passed over unless they are wanted. When it
// returns the server has done all that it does without hearing more.
func (p *script) want(texts ...string) {
	p.t.Helper()
	for _, text := range texts {
		got := p.next()
		for strings.Contains(got, "] flow ") && !strings.Contains(text, "flow ") {
			got = p.next()
		}
		if !strings.Contains(got, text) {
			p.t.Fatalf("got  %s\nwant %s\n%s", got, text, p.log.String())
		}
	}
	synctest.Wait()
}

// wantBeyondHeartbeats is want of a frame that heartbeats may precede.
func (p *script) wantBeyondHeartbeats(text string) {
	p.t.Helper()
	for {
		if got := p.next(); strings.Contains(got, text) {
			return
		} else if got != "heartbeat" && !strings.Contains(got, "] flow ") {
			p.t.Fatalf("got %s, want %s", got, text)
		}
	}
}

// wantEOF checks that the server closes the socket.
func (p *script) wantEOF() {
	p.t.Helper()
	if got := p.next(); got != "EOF" {
		p.t.Fatalf("got %s, want EOF\n%s", got, p.log.String())
	}
	p.log.WriteString("S> EOF\n")
}

// opened opens the connection, without SASL, and begins a session on channel 0.
func (p *script) opened() *script {
	p.t.Helper()
	p.header(frame.ProtoAMQP)
	p.wantHeader(frame.ProtoAMQP)
	p.send(open(nil))
	p.want("open ")
	p.send(begin(0))
	p.want("[0] begin remote-channel=0")
	return p
}

func open(change func(*frame.Open)) frames {
	return func(w *wire.Encoder) {
		o := frame.Open{ContainerID: "script", IdleTimeout: frame.Some(uint32(120_000))}
		if change != nil {
			change(&o)
		}
		o.Append(w)
	}
}

func begin(channel uint16) frames {
	return func(w *wire.Encoder) {
		b := frame.BeginSession{IncomingWindow: 100, OutgoingWindow: 100}
		b.Append(w, channel)
	}
}

// sendingLink attaches a link on which the script sends, receivingLink one on
// which it receives.
func sendingLink(name string, handle uint32) frames {
	return attach(frame.Attach{Name: name, Handle: handle, Role: RoleSender, Source: &Source{}, Target: &Target{Address: "to"},
		InitialDeliveryCount: frame.Some(uint32(0))})
}

func receivingLink(name string, handle uint32) frames {
	return attach(frame.Attach{Name: name, Handle: handle, Role: RoleReceiver, Source: &Source{Address: "from"}, Target: &Target{}})
}

func attach(a frame.Attach) frames { return func(w *wire.Encoder) { a.Append(w, 0) } }

func detach(handle uint32) frames {
	return func(w *wire.Encoder) { (&frame.Detach{Handle: handle, Closed: true}).Append(w, 0) }
}

func flow(f frame.Flow) frames { return func(w *wire.Encoder) { f.Append(w, 0) } }

// credit is a flow of a receiving link.
func credit(handle, count, n uint32) frames {
	return flow(frame.Flow{NextIncomingID: frame.Some(uint32(0)), IncomingWindow: 100, OutgoingWindow: 100, Handle: frame.Some(handle),
		DeliveryCount: frame.Some(count), LinkCredit: frame.Some(n)})
}

// part is one transfer frame, with a payload.
func part(t frame.Transfer, payload []byte) frames {
	return func(w *wire.Encoder) {
		start := t.Append(w, 0)
		w.B = append(w.B, payload...)
		frame.End(w, start)
	}
}

// whole is a delivery in one frame, unsettled.
func whole(handle, id uint32) frames {
	return part(frame.Transfer{Handle: handle, DeliveryID: frame.Some(id), Tag: []byte{byte(id)}}, payload("x"))
}

func payload(text string) []byte {
	b, err := NewMessage([]byte(text)).AppendTo(nil)
	if err != nil {
		panic(err)
	}
	return b
}

func disposition(d frame.Disposition) frames { return func(w *wire.Encoder) { d.Append(w, 0) } }

func endSession(w *wire.Encoder) { frame.AppendEnd(w, 0, nil) }

func closeConn(w *wire.Encoder) { frame.AppendClose(w, nil) }

// raw is bytes that need not be a frame.
func raw(b ...byte) frames { return func(w *wire.Encoder) { w.B = append(w.B, b...) } }

// pair is a client and a server, connected.
type pair struct {
	client *Conn
	server *Conn
	ended  chan error
}

// connect makes a pair inside a bubble.
func connect(t testing.TB, s *Server, k ClientConfig, h Handler) *pair {
	t.Helper()
	ours, theirs := net.Pipe()
	p := &pair{ended: make(chan error, 1)}
	s.Open = func(c *Conn) (Handler, error) { p.server = c; return h, nil }
	go func() { p.ended <- s.ServeConn(context.Background(), ours) }()
	c, err := NewConn(t.Context(), theirs, k)
	if err != nil {
		t.Fatal(err)
	}
	p.client = c
	return p
}

// close closes from the client's side.
func (p *pair) close(t testing.TB) {
	t.Helper()
	if err := p.client.Close(t.Context()); err != nil {
		t.Errorf("close: %v", err)
	}
	if err := <-p.ended; err != nil {
		t.Errorf("the server's connection ended with %v", err)
	}
}

// session begins one, or fails the test.
func (p *pair) session(t testing.TB) *Session {
	t.Helper()
	s, err := p.client.NewSession(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}
