package tlsx

import (
	"crypto/tls"
	"net"
	"testing"
)

// FuzzS4_Handshake is S4: whatever a client says first costs its own connection.
func FuzzS4_Handshake(f *testing.F) {
	config := ServerConfig(NewCertificate(newPair(f, "one").tls(f)))
	f.Add(clientHello(f))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte("\x17\x03\x03\x00\x00"))
	f.Fuzz(func(t *testing.T, hello []byte) {
		p := newPipes()
		l := Listen(p, Limits{}, nil)
		c := p.dial()
		go func() { _, _ = c.Write(hello); _ = c.Close() }()
		go func() { // what the server answers is not looked at
			for b := make([]byte, 4096); ; {
				if _, err := c.Read(b); err != nil {
					return
				}
			}
		}()
		if err := handshake(l, config); err == nil {
			t.Error("served a client without a handshake")
		}
		_ = l.Close()
		if n := l.Stats.Open.Load(); n != 0 {
			t.Errorf("%d connections left", n)
		}
	})
}

// clientHello records what a client sends first.
func clientHello(t testing.TB) []byte {
	near, far := net.Pipe()
	defer far.Close()
	go func() { _ = tls.Client(near, anyServer()).Handshake(); _ = near.Close() }()
	b := make([]byte, 4096)
	n, err := far.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

type still struct{ net.Conn }

func (still) Read(p []byte) (int, error) { return len(p), nil }

// BenchmarkRead is what a Conn adds to each read of 4 KiB after the handshake.
func BenchmarkRead(b *testing.B) {
	c := &Conn{Conn: still{}}
	c.shaken.Store(true)
	p := make([]byte, 4096)
	b.ReportAllocs()
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		if _, err := c.Read(p); err != nil {
			b.Fatal(err)
		}
	}
}
