package tlsx

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/await"
)

// TestL3_FloodLeavesThoseInsideAlone opens far more connections than are allowed.
func TestL3_FloodLeavesThoseInsideAlone(t *testing.T) {
	var log journal
	l := Listen(listen(t), Limits{MaxConns: 8}, log.logger())
	echo(t, l, ServerConfig(NewCertificate(newPair(t, "one").tls(t))))
	inside := make([]*tls.Conn, 8)
	for i := range inside {
		inside[i] = dial(t, l.Addr(), anyServer())
		ping(t, inside[i])
	}

	var flood sync.WaitGroup
	for range 200 {
		flood.Go(func() {
			c, err := net.DialTimeout("tcp", l.Addr().String(), patience)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			_ = c.SetReadDeadline(time.Now().Add(patience))
			if _, err := c.Read(make([]byte, 1)); err == nil || isTimeout(err) {
				t.Errorf("a connection over the limit was not closed: %v", err)
			}
		})
	}
	flood.Wait()
	for _, c := range inside {
		ping(t, c)
	}
	if got := l.Stats.Refused.Load(); got != 200 {
		t.Errorf("%d refused, want 200", got)
	}
	if n := log.count("too many connections"); n != 1 {
		t.Errorf("%d lines in the log, want 1", n)
	}

	_ = inside[0].Close()
	await.True(t, "the place is free", func() bool { return l.Stats.Open.Load() == 7 })
	ping(t, dial(t, l.Addr(), anyServer()))
}

type from struct {
	net.Conn
	addr net.Addr
}

func (f from) RemoteAddr() net.Addr { return f.addr }

func TestAddressesHaveTheirOwnLimit(t *testing.T) {
	p := newPipes()
	l := Listen(p, Limits{MaxPerIP: 2}, nil)
	defer l.Close()
	try := func(ip string) net.Conn {
		near, far := net.Pipe()
		t.Cleanup(func() { _ = near.Close() })
		p.queue <- from{far, &net.TCPAddr{IP: net.ParseIP(ip), Port: 1}}
		p.queue <- errors.New("end of the queue")
		c, _ := l.Accept()
		drain(p)
		return c
	}
	first := try("10.0.0.1")
	for _, tt := range []struct {
		ip string
		ok bool
	}{
		{"10.0.0.1", true}, {"10.0.0.1", false}, {"::ffff:10.0.0.1", false}, {"10.0.0.2", true},
		{"2001:db8::1", true}, {"2001:db8::2", true}, {"2001:db8::3", false}, {"2001:db8:0:1::3", true},
	} {
		c := try(tt.ip)
		if (c != nil) != tt.ok {
			t.Errorf("%s: accepted %v, want %v", tt.ip, c != nil, tt.ok)
		}
		if c != nil {
			defer c.Close()
		}
	}
	_ = first.Close()
	_ = first.Close() // counts once
	again := try("10.0.0.1")
	if again == nil {
		t.Fatal("the place of a connection that ended was not given back")
	}
	_ = again.Close()
	if c := try("10.0.0.1"); c == nil {
		t.Error("one connection, closed twice, gave two places back")
	} else {
		_ = c.Close()
	}
}

func drain(p *pipes) {
	for len(p.queue) > 0 {
		<-p.queue
	}
}

// exhausted is what accept returns when there is no descriptor left.
func exhausted() error {
	return &net.OpError{Op: "accept", Net: "tcp", Err: syscall.EMFILE}
}

func TestF8_AcceptWaitsForDescriptorsWithoutABusyLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log journal
		p := newPipes()
		l := Listen(p, Limits{}, log.logger())
		for range 20 {
			p.queue <- exhausted()
		}
		start := time.Now()
		c := p.dial()
		defer c.Close()
		accepted, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if p.calls != 21 || time.Since(start) < 10*time.Second {
			t.Errorf("%d calls in %v: a busy loop", p.calls, time.Since(start))
		}
		if l.Stats.Exhausted.Load() != 20 || log.count("accept paused") != 1 {
			t.Errorf("counted %d, logged %d", l.Stats.Exhausted.Load(), log.count("accept paused"))
		}

		// A connection that ends leaves a descriptor: no need to wait on.
		for range 9 {
			p.queue <- exhausted()
		}
		done := make(chan error, 1)
		go func() { _, err := l.Accept(); done <- err }()
		for range 8 { // all pauses but the last are over after 1.3 s
			time.Sleep(200 * time.Millisecond)
		}
		synctest.Wait()
		before := time.Now()
		other := p.dial()
		defer other.Close()
		_ = accepted.Close()
		if err := <-done; err != nil || time.Since(before) > 0 {
			t.Errorf("accepted after %v: %v", time.Since(before), err)
		}
		_ = l.Close()
	})
}

func TestCloseEndsAPausedAccept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		l := Listen(p, Limits{}, nil)
		for range 100 {
			p.queue <- exhausted()
		}
		done := make(chan error, 1)
		go func() { _, err := l.Accept(); done <- err }()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		drain(p)
		start := time.Now()
		_ = l.Close()
		if err := <-done; !errors.Is(err, net.ErrClosed) || time.Since(start) > 0 {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// handshake serves one connection as a server without any limit of its own would,
// and returns when it ended and why.
func handshake(l net.Listener, config *tls.Config) error {
	nc, err := l.Accept()
	if err != nil {
		return err
	}
	defer nc.Close()
	c := tls.Server(nc, config)
	if err := c.Handshake(); err != nil {
		return err
	}
	_, err = io.Copy(c, c)
	return err
}

func TestS2_SlowHandshakesEndInTime(t *testing.T) {
	config := ServerConfig(NewCertificate(newPair(t, "one").tls(t)))
	for _, tt := range []struct {
		name   string
		client func(net.Conn) // runs until the connection ends
	}{
		{"a client that says nothing", func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }},
		{"a byte a second", func(c net.Conn) {
			for _, b := range []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and so on, for ever") {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}},
		{"stops within the TLS 1.3 handshake", func(c net.Conn) {
			_ = tls.Client(cut{c, 10}, anyServer()).Handshake()
			_, _ = io.Copy(io.Discard, c)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPipes()
				l := Listen(p, Limits{}, nil)
				c := p.dial()
				done := make(chan struct{})
				go func() { defer close(done); tt.client(c); _ = c.Close() }()
				start := time.Now()
				err := handshake(l, config)
				if took := time.Since(start); took != 10*time.Second || l.Stats.TimedOut.Load() != 1 {
					t.Errorf("ended after %v, %d timed out: %v", took, l.Stats.TimedOut.Load(), err)
				}
				if l.Stats.Open.Load() != 0 {
					t.Error("its place was not given back")
				}
				_ = l.Close()
				<-done
			})
		})
	}
}

// cut loses what is written after the first n bytes of the client's second flight.
type cut struct {
	net.Conn
	n int
}

func (c cut) Write(p []byte) (int, error) {
	if len(p) > 0 && p[0] == 0x16 && p[5] == 1 { // ClientHello
		return c.Conn.Write(p)
	}
	if _, err := c.Conn.Write(p[:c.n]); err != nil {
		return 0, err
	}
	return len(p), nil
}

func TestEstablishedConnectionsMayBeSilent(t *testing.T) {
	config := ServerConfig(NewCertificate(newPair(t, "one").tls(t)))
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		synctest.Test(t, func(t *testing.T) {
			p := newPipes()
			l := Listen(p, Limits{}, nil)
			done := make(chan error, 1)
			go func() { done <- handshake(l, config) }()
			c := tls.Client(p.dial(), &tls.Config{InsecureSkipVerify: true, MaxVersion: version})
			ping(t, c)
			time.Sleep(time.Hour)
			ping(t, c)
			_ = c.Close()
			if err := <-done; err != nil {
				t.Error(err)
			}
			_ = l.Close()
		})
	}
}

func TestServesHTTP(t *testing.T) {
	l := Listen(listen(t), Limits{}, nil)
	server := &http.Server{
		TLSConfig:         ServerConfig(NewCertificate(newPair(t, "one").tls(t))),
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }),
		ReadHeaderTimeout: patience,
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.ServeTLS(l, "", "") }()
	defer func() { _ = server.Close(); <-done }()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: anyServer(), ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	resp, err := client.Get("https://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || string(body) != "hello" || resp.ProtoMajor != 2 {
		t.Errorf("%s %q %v", resp.Proto, body, err)
	}
}

func TestSocketLeavesTimeToTheServer(t *testing.T) {
	l := Listen(listen(t), Limits{Handshake: time.Nanosecond}, nil)
	defer l.Close()
	c := &Conn{Conn: &net.TCPConn{}, listener: l}
	if c.Socket() == nil {
		t.Fatal("no socket")
	}
	c.expire()
	if l.Stats.TimedOut.Load() != 0 {
		t.Error("timed out although the server took the socket")
	}
	c = &Conn{Conn: from{}, listener: l}
	c.Established()
	c.expire()
	if l.Stats.TimedOut.Load() != 0 {
		t.Error("timed out although the handshake was over")
	}
	if (&Conn{Conn: from{}, listener: l}).Socket() != nil {
		t.Error("a connection that is not TCP has a socket")
	}
}
