package upstream

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"

	"sluice/iot"
)

// A tunnel is the hub's HTTPS port: WebSockets at the path of IoT Hub, which lead
// to the ports for the protocols themselves.
type tunnel struct {
	server *httptest.Server
	wg     sync.WaitGroup
	seen   atomic.Int32
}

func newTunnel(t *testing.T, s *site) *tunnel {
	t.Helper()
	u := &tunnel{}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.host.RootPEM())
	to := map[string]string{"AMQPWSB10": s.host.AMQPAddr().String(), "mqtt": s.host.MQTTAddr().String()}
	u.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/$iothub/websocket" {
			http.NotFound(w, r)
			return
		}
		ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"AMQPWSB10", "mqtt"}})
		if err != nil {
			return
		}
		u.seen.Add(1)
		far, err := tls.Dial("tcp", to[ws.Subprotocol()], &tls.Config{RootCAs: roots, ServerName: "localhost"})
		if err != nil {
			t.Errorf("the hub: %v", err)
			_ = ws.CloseNow()
			return
		}
		near := websocket.NetConn(context.Background(), ws, websocket.MessageBinary)
		u.wg.Go(func() { _, _ = io.Copy(far, near); _ = far.Close() })
		_, _ = io.Copy(near, far)
		_ = near.Close()
	}))
	u.server.StartTLS()
	t.Cleanup(func() { u.server.Close(); u.wg.Wait() })
	return u
}

// pool trusts the tunnel's certificate, which is for example.com.
func (u *tunnel) options(o *Options) {
	o.ParentHostName = "example.com"
	o.Roots = x509.NewCertPool()
	o.Roots.AddCert(u.server.Certificate())
	o.HTTPSPort = port(u.server.Listener.Addr())
}

func TestSessionsOverWebSockets(t *testing.T) {
	s := newSite(t, "leaf")
	u := newTunnel(t, s)
	for _, p := range []Protocol{AMQPWS, MQTTWS} {
		t.Run(string(p), func(t *testing.T) {
			h := s.client(p, u.options)
			if !live(t, s, h) {
				t.Error("a session over WebSockets did not live")
			}
			h.Close()
		})
	}
	if u.seen.Load() != 2 {
		t.Errorf("%d WebSockets", u.seen.Load())
	}
}

func TestSessionsOverWebSocketsThroughAProxy(t *testing.T) {
	s := newSite(t, "leaf")
	u := newTunnel(t, s)
	proxy := newProxy(t, u.server.Listener.Addr().String())
	h := s.client(AMQPWS, func(o *Options) {
		u.options(o)
		o.Address = "192.0.2.1" // leads nowhere: the proxy's address is not replaced by it
		o.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse("http://" + proxy.addr) }
	})
	if !live(t, s, h) {
		t.Error("a session through the proxy did not live")
	}
	if got := <-proxy.asked; got != "example.com:"+u.server.URL[len("https://127.0.0.1:"):] {
		t.Errorf("the proxy was asked for %s", got)
	}
}

func TestU12_WhatIsNoHubIsToldSo(t *testing.T) {
	s := newSite(t)
	portal := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "<html>Accept our terms")
	}))
	defer portal.Close()
	h := s.client(MQTTWS, func(o *Options) {
		o.ParentHostName = "example.com"
		o.Roots = x509.NewCertPool()
		o.Roots.AddCert(portal.Certificate())
		o.HTTPSPort = port(portal.Listener.Addr())
	})
	_, err := h.Connect(t.Context(), iot.Credentials{Identity: leafID, Token: "t"}, iot.Client{})
	if iot.KindOf(err) != iot.Unavailable {
		t.Errorf("a portal's page: %v", err)
	}
}

// A proxy is an HTTP proxy that knows CONNECT only, and leads to one place.
type proxy struct {
	addr  string
	asked chan string
}

func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{addr: l.Addr().String(), asked: make(chan string, 10)}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { p.serve(t, near, to) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return p
}

func (p *proxy) serve(t *testing.T, near net.Conn, to string) {
	defer near.Close()
	r := bufio.NewReader(near)
	request, err := http.ReadRequest(r)
	if err != nil || request.Method != http.MethodConnect {
		t.Errorf("the proxy was asked %v, %v", request, err)
		return
	}
	p.asked <- request.Host
	far, err := net.Dial("tcp", to)
	if err != nil {
		t.Error(err)
		return
	}
	defer far.Close()
	_, _ = io.WriteString(near, "HTTP/1.1 200 Connection established\r\n\r\n")
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(far, r)
		_ = far.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(near, far)
	_ = near.Close()
	<-done
}
