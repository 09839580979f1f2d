package amqp10

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"sluice/amqp10/internal/frame"
)

// disk settles deliveries in groups, as one that syncs would.
type disk struct {
	mu   sync.Mutex
	due  []*Delivery
	more chan struct{}
}

func (d *disk) take(v *Delivery) {
	d.mu.Lock()
	d.due = append(d.due, v)
	d.mu.Unlock()
	select {
	case d.more <- struct{}{}:
	default:
	}
}

func (d *disk) run(ctx context.Context) {
	var spare []*Delivery
	for {
		select {
		case <-d.more:
		case <-ctx.Done():
			return
		}
		d.mu.Lock()
		due := d.due
		d.due = spare[:0]
		d.mu.Unlock()
		for _, v := range due {
			v.Accept()
		}
		clear(due)
		spare = due
	}
}

// place is where a server of a benchmark is to be found.
type place struct {
	addr string
	tls  *tls.Config // of clients; nil: plain TCP
}

// served runs a server on loopback for a benchmark.
func served(b *testing.B, s *Server, h Handler, secure bool) place {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	p := place{addr: l.Addr().String()}
	if secure {
		cert, pool := certificate(b)
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}})
		p.tls = &tls.Config{RootCAs: pool}
	}
	s.Open = func(*Conn) (Handler, error) { return h, nil }
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Serve(ctx, l) })
	b.Cleanup(func() { cancel(); wg.Wait() })
	return p
}

func (p place) dial(b *testing.B, limits Limits) *Conn {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := Dial(ctx, p.addr, ClientConfig{TLS: p.tls, Limits: limits})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// load is a client's link that keeps its credit used.
type load struct {
	snd     *Sender
	payload []byte
	left    int
	pending int
	start   chan struct{}
	done    chan struct{}
}

func (l *load) pump() {
	for l.left > 0 && l.snd.Send(Outgoing{Payload: l.payload, Done: l.settled}) == nil {
		l.left--
		l.pending++
	}
}

func (l *load) settled(Outcome, error) {
	if l.pending--; l.pending == 0 && l.left == 0 {
		close(l.done)
	}
}

// BenchmarkSettledLate is messages a second that arrive, are handed to another
// goroutine, and are accepted from there, with a credit of 100; server and
// client in this process.
func BenchmarkSettledLate(b *testing.B) {
	for _, secure := range []bool{false, true} {
		for _, conns := range []int{1, 100} {
			b.Run(fmt.Sprintf("tls=%v/conns=%d", secure, conns), func(b *testing.B) { settleLate(b, secure, conns) })
		}
	}
}

func settleLate(b *testing.B, secure bool, conns int) {
	d := &disk{more: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { d.run(ctx) })
	defer wg.Wait()
	defer cancel()
	p := served(b, &Server{}, handler{attach: func(r *LinkRequest) {
		r.AcceptReceiver(ReceiverConfig{Window: 100, OnDelivery: d.take})
	}}, secure)
	payload, _ := telemetry().AppendTo(nil)
	loads := make([]*load, conns)
	for i := range loads {
		loads[i] = newLoad(b, p, payload, b.N/conns+1)
	}
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	b.ResetTimer()
	for _, l := range loads {
		close(l.start)
	}
	for _, l := range loads {
		<-l.done
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

func newLoad(b *testing.B, p place, payload []byte, n int) *load {
	b.Helper()
	s, err := p.dial(b, Limits{}).NewSession(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	l := &load{payload: payload, left: n, start: make(chan struct{}), done: make(chan struct{})}
	l.snd, err = s.AttachSender(context.Background(), SenderConfig{OnCredit: func(uint32, bool) { <-l.start; l.pump() }})
	if err != nil {
		b.Fatal(err)
	}
	return l
}

// BenchmarkIdleConnections is what a connection with one link holds when
// nothing happens on it; the client's end is a socket and a scripted peer's
// buffer, both outside of the heap that is measured.
func BenchmarkIdleConnections(b *testing.B) {
	const conns = 1000
	for b.Loop() {
		addr := served(b, &Server{}, acceptAll(nil), false).addr
		before := heap()
		var peers []net.Conn
		for range conns {
			peers = append(peers, idlePeer(b, addr))
		}
		time.Sleep(2 * quiet)
		for _, p := range peers { // a heartbeat, after which the buffers are given back
			_, _ = p.Write([]byte{0, 0, 0, 8, 2, 0, 0, 0})
		}
		time.Sleep(quiet)
		b.ReportMetric(float64(heap()-before)/conns, "B/conn")
		for _, p := range peers {
			_ = p.Close()
		}
	}
}

// idlePeer is a client of a few hundred bytes.
func idlePeer(b *testing.B, addr string) net.Conn {
	b.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	hello := append([]byte(frame.ProtoAMQP), appended(open(nil), begin(0), sendingLink("l", 0))...)
	if _, err := nc.Write(hello); err != nil {
		b.Fatal(err)
	}
	var got []byte
	for !bytes.Contains(got, []byte{0, 0x53, frame.CodeFlow}) {
		buf := make([]byte, 512)
		n, err := nc.Read(buf)
		if err != nil {
			b.Fatal(err)
		}
		got = append(got, buf[:n]...)
	}
	return nc
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// BenchmarkTenThousandLinks is the time in which one connection attaches 10,000
// links, 100 at a time, as an uplink for as many devices would.
func BenchmarkTenThousandLinks(b *testing.B) {
	const links = 10_000
	limits := Limits{Links: links}
	p := served(b, &Server{Limits: limits}, acceptAll(nil), false)
	before := heap()
	for b.Loop() {
		s, err := p.dial(b, limits).NewSession(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				for range links / 100 {
					if _, err := s.AttachSender(context.Background(), SenderConfig{}); err != nil {
						b.Error(err)
					}
				}
			})
		}
		wg.Wait()
		b.ReportMetric(float64(int64(heap()-before))/links, "B/link")
		if err := s.Conn().Close(context.Background()); err != nil {
			b.Error(err)
		}
	}
}
