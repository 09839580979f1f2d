package webhead

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
)

// loopback serves a head on a fake hub over TCP.
func loopback(b *testing.B, opt Options) (dial func() *tls.Conn) {
	l, err := new(net.ListenConfig).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	head := New(newHub(), opt)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	config := &tls.Config{Certificates: []tls.Certificate{identity()}}
	go func() { served <- Serve(ctx, l, head, ServeOptions{TLS: config}) }()
	b.Cleanup(func() {
		cancel()
		_ = head.Close() // never fails
		if err := <-served; err != nil {
			b.Error(err)
		}
	})
	return func() *tls.Conn {
		c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // our own
		if err != nil {
			b.Fatal(err)
		}
		return c
	}
}

// BenchmarkServe is telemetry on connections that are kept, both ends of TLS included.
func BenchmarkServe(b *testing.B) {
	dial := loopback(b, Options{})
	request := post + "iothub-app-temperature: 21\r\niothub-messageid: m1\r\nContent-Length: 200\r\n\r\n" + strings.Repeat("x", 200)
	b.SetParallelism(16)
	b.SetBytes(200)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		c := dial()
		defer c.Close() //nolint:errcheck // at its end
		answers := bufio.NewReader(c)
		for pb.Next() {
			if _, err := io.WriteString(c, request); err != nil {
				b.Error(err)
				return
			}
			r, err := http.ReadResponse(answers, nil)
			if err != nil || r.StatusCode != http.StatusNoContent {
				b.Error(r, err)
				return
			}
		}
	})
}

// idle is an engine that waits for what does not come.
type idle struct{}

func (idle) ServeConn(_ context.Context, nc net.Conn) error {
	defer nc.Close() //nolint:errcheck // the client sees it
	_, err := nc.Read(make([]byte, 1))
	return err
}

// BenchmarkIdleWebSocket reports what a WebSocket holds, both ends of TLS included.
func BenchmarkIdleWebSocket(b *testing.B) {
	dial := loopback(b, Options{MQTT: idle{}})
	const raw = "GET /$iothub/websocket HTTP/1.1\r\nHost: hub\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
	var conns []*tls.Conn
	before := held()
	for b.Loop() {
		c := dial()
		if _, err := io.WriteString(c, raw); err != nil {
			b.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 4096)); err != nil {
			b.Fatal(err)
		}
		conns = append(conns, c)
	}
	b.ReportMetric(float64(held()-before)/float64(len(conns)), "B/conn")
	for _, c := range conns {
		_ = c.Close() // at its end
	}
}

// held is the memory of heap and stacks that is in use.
func held() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}
