package mqtt_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/mqtt"
	"sluice/mqtt/internal/packet"
)

// sink accepts everything and acknowledges at once, or with the next commit.
type sink struct {
	commit chan []mqtt.Publish // nil to acknowledge at once
}

func (s *sink) Connect(context.Context, *mqtt.Connect, *mqtt.Conn) (mqtt.Session, bool, error) {
	return s, false, nil
}

func (s *sink) Publish(batch []mqtt.Publish) {
	if s.commit != nil {
		s.commit <- append([]mqtt.Publish(nil), batch...)
		return
	}
	for i := range batch {
		batch[i].Ack(nil)
	}
}

func (s *sink) Subscribe(f []mqtt.Filter) ([]mqtt.QoS, error) { return make([]mqtt.QoS, len(f)), nil }
func (s *sink) Unsubscribe([]string) error                    { return nil }
func (s *sink) Ready()                                        {}
func (s *sink) Closed(error, *mqtt.Message)                   {}

// commits acknowledges in groups, each of which takes as long as a disk's sync.
func (s *sink) commits(sync time.Duration) {
	for batch := range s.commit {
		group := [][]mqtt.Publish{batch}
		for n := len(s.commit); n > 0; n-- {
			group = append(group, <-s.commit)
		}
		time.Sleep(sync)
		for _, batch := range group {
			for i := range batch {
				batch[i].Ack(nil)
			}
		}
	}
}

// A sender publishes in flights of window messages, each acknowledged before the
// next is sent.
type sender struct {
	nc      net.Conn
	flight  []byte
	packets [][]byte
	acks    []byte
	apart   bool // one write for each packet, as most clients do
}

const window = 16

func newSender(tb testing.TB, nc net.Conn, id string) *sender {
	tb.Helper()
	c := packet.Connect{ClientID: id, CleanSession: true}
	if _, err := nc.Write(c.Append(nil)); err != nil {
		tb.Fatal(err)
	}
	if _, err := io.ReadFull(nc, make([]byte, 4)); err != nil {
		tb.Fatal(err)
	}
	s := &sender{nc: nc, acks: make([]byte, 4*window)}
	payload := []byte(strings.Repeat(`{"t":21.5,"h":40}`, 16)[:256])
	for i := range window {
		topic := fmt.Sprintf("devices/%s/messages/events/%%24.mid=0815&%%24.ct=application%%2Fjson", id)
		p, err := packet.AppendPublish(nil, &packet.Publish{QoS: 1, ID: uint16(i + 1), Payload: payload}, topic)
		if err != nil {
			tb.Fatal(err)
		}
		s.flight = append(s.flight, p...)
		s.packets = append(s.packets, p)
	}
	return s
}

func (s *sender) send() error {
	packets := [][]byte{s.flight}
	if s.apart {
		packets = s.packets
	}
	for _, p := range packets {
		if _, err := s.nc.Write(p); err != nil {
			return err
		}
	}
	_, err := io.ReadFull(s.nc, s.acks)
	return err
}

func BenchmarkPublishQoS1(b *testing.B) {
	serverTLS, clientTLS := certificate(b)
	dial := func(b *testing.B, s *mqtt.Server) net.Conn {
		nc, err := net.Dial("tcp", serve(b, s).String())
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = nc.Close() })
		return nc
	}
	for _, bb := range []struct {
		name string
		dial func(b *testing.B) net.Conn
	}{
		{"pipe", func(b *testing.B) net.Conn { return servePipe(b, &mqtt.Server{Backend: new(sink)}) }},
		{"tcp", func(b *testing.B) net.Conn { return dial(b, &mqtt.Server{Backend: new(sink)}) }},
		{"tls", func(b *testing.B) net.Conn {
			return tls.Client(dial(b, &mqtt.Server{Backend: new(sink), TLS: serverTLS}), clientTLS)
		}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			s := newSender(b, bb.dial(b), "bench")
			b.SetBytes(256)
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += window {
				if err := s.send(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// servePipe serves one end of a pipe until the test ends and returns the other.
func servePipe(tb testing.TB, s *mqtt.Server) net.Conn {
	tb.Helper()
	client, server := net.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.ServeConn(ctx, server) }()
	tb.Cleanup(func() { _ = client.Close(); cancel(); <-done })
	return client
}

// BenchmarkGroupCommit is 100 TLS connections that publish in windows, each
// acknowledged after a group commit of half a millisecond. Sender and server
// share the machine.
func BenchmarkGroupCommit(b *testing.B) {
	const conns = 100
	for _, apart := range []bool{false, true} {
		b.Run(fmt.Sprintf("record for each packet=%t", apart), func(b *testing.B) {
			serverTLS, clientTLS := certificate(b)
			backend := &sink{commit: make(chan []mqtt.Publish, 4*conns)}
			var commits sync.WaitGroup
			commits.Go(func() { backend.commits(500 * time.Microsecond) })
			b.Cleanup(func() { close(backend.commit); commits.Wait() })
			addr := serve(b, &mqtt.Server{Backend: backend, TLS: serverTLS})
			var senders []*sender
			for i := range conns {
				nc, err := tls.Dial("tcp", addr.String(), clientTLS)
				if err != nil {
					b.Fatal(err)
				}
				b.Cleanup(func() { _ = nc.Close() })
				s := newSender(b, nc, fmt.Sprintf("device-%d", i))
				s.apart = apart
				senders = append(senders, s)
			}
			b.SetBytes(256)
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for _, s := range senders {
				wg.Go(func() {
					for i := 0; i < b.N; i += window * conns {
						if err := s.send(); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}

// BenchmarkIdleConnections reports what an idle TLS connection costs the process:
// heap and stacks by the runtime's account, and resident memory by the kernel's.
// The clients are in the process too, reduced to their sockets.
func BenchmarkIdleConnections(b *testing.B) {
	const conns = 2000
	serverTLS, clientTLS := certificate(b)
	for range b.N {
		addr := serve(b, &mqtt.Server{Backend: new(sink), TLS: serverTLS})
		before, residentBefore := memory()
		sockets := make([]net.Conn, conns)
		for i := range sockets {
			nc, err := net.Dial("tcp", addr.String())
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = nc.Close() })
			newSender(b, tls.Client(nc, clientTLS), fmt.Sprintf("device-%d", i))
			sockets[i] = nc // the client's TLS state is garbage
		}
		after, residentAfter := memory()
		b.ReportMetric(float64(after.HeapInuse-before.HeapInuse)/conns, "heap-B/conn")
		b.ReportMetric(float64(after.StackInuse-before.StackInuse)/conns, "stack-B/conn")
		b.ReportMetric(float64(residentAfter-residentBefore)/conns, "resident-B/conn")
		runtime.KeepAlive(sockets)
	}
}

// memory collects garbage until stacks have shrunk, and returns what is in use.
func memory() (m runtime.MemStats, resident int) {
	for range 6 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return m, 0
	}
	var size, pages int
	if _, err := fmt.Sscan(string(statm), &size, &pages); err != nil {
		return m, 0
	}
	return m, pages * os.Getpagesize()
}
