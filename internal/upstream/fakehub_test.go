package upstream

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/internal/await"
	"sluice/iot"
	"sluice/mqtt"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hubName is what the certificate of the fake hub is for.
const hubName = "hub.test"

// fakeHub is the far end: an MQTT server that does what a test says, and an
// HTTPS server.
type fakeHub struct {
	certificate tls.Certificate
	roots       *x509.CertPool
	mqttPort    int
	httpsPort   int

	// Set before the first connection.
	refuse  error
	publish func(c *fakeConn, p *mqtt.Publish)

	mu       sync.Mutex
	connects []mqtt.Connect
	conns    []*fakeConn
}

// fakeConn is a session at the fake hub.
type fakeConn struct {
	hub  *fakeHub
	conn *mqtt.Conn

	mu     sync.Mutex
	topics []string
	bodies []string
	held   []mqtt.Publish
	closed chan struct{}
}

func startHub(t *testing.T, handler http.Handler) *fakeHub {
	t.Helper()
	h := &fakeHub{roots: x509.NewCertPool()}
	h.certificate = selfSigned(t, h.roots)
	h.serveMQTT(t)
	if handler != nil {
		h.serveHTTPS(t, handler)
	}
	return h
}

func selfSigned(t *testing.T, roots *x509.CertPool) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "fake hub"}, DNSNames: []string{hubName},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (h *fakeHub) serveMQTT(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.mqttPort = l.Addr().(*net.TCPAddr).Port
	server := &mqtt.Server{Backend: h, TLS: &tls.Config{Certificates: []tls.Certificate{h.certificate}},
		Limits: mqtt.Limits{ShutdownGrace: time.Millisecond}}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("the fake hub failed: %v", err)
		}
	})
}

func (h *fakeHub) serveHTTPS(t *testing.T, handler http.Handler) {
	server := httptest.NewUnstartedServer(handler)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{h.certificate}}
	server.StartTLS()
	t.Cleanup(server.Close)
	h.httpsPort = server.Listener.Addr().(*net.TCPAddr).Port
}

func (h *fakeHub) Connect(_ context.Context, c *mqtt.Connect, conn *mqtt.Conn) (mqtt.Session, bool, error) {
	if h.refuse != nil {
		return nil, false, h.refuse
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	f := &fakeConn{hub: h, conn: conn, closed: make(chan struct{})}
	h.connects = append(h.connects, *c)
	h.conns = append(h.conns, f)
	return f, false, nil
}

// conn returns the n-th connection.
func (h *fakeHub) conn(n int) *fakeConn {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.conns[n]
}

func (h *fakeHub) connect(n int) mqtt.Connect {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.connects[n]
}

func (c *fakeConn) Publish(batch []mqtt.Publish) {
	for i := range batch {
		c.mu.Lock()
		c.topics = append(c.topics, batch[i].Topic)
		c.bodies = append(c.bodies, string(batch[i].Payload))
		c.mu.Unlock()
		if c.hub.publish == nil {
			batch[i].Ack(nil)
			continue
		}
		p := batch[i]
		c.hub.publish(c, &p)
	}
}

// hold keeps a publication unacknowledged until release.
func (c *fakeConn) hold(p *mqtt.Publish) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = append(c.held, *p)
}

func (c *fakeConn) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.held {
		c.held[i].Ack(nil)
	}
	c.held = nil
}

func (c *fakeConn) received() (topics, bodies []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.topics, c.bodies
}

func (*fakeConn) Subscribe([]mqtt.Filter) ([]mqtt.QoS, error) { return nil, nil }
func (*fakeConn) Unsubscribe([]string) error                  { return nil }
func (*fakeConn) Ready()                                      {}
func (c *fakeConn) Closed(error, *mqtt.Message)               { close(c.closed) }

// client returns a client of h, with further settings by change.
func (h *fakeHub) client(t *testing.T, change func(*Options)) *Hub {
	t.Helper()
	opt := Options{HostName: hubName, Address: "127.0.0.1", MQTTPort: h.mqttPort, HTTPSPort: h.httpsPort, Roots: h.roots, ConnectTimeout: await.Patience}
	if change != nil {
		change(&opt)
	}
	client, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func dial(t *testing.T, client *Hub, ended func(error)) iot.Session {
	t.Helper()
	creds := iot.Credentials{Identity: iot.DeviceIdentity("leaf"), Token: "SharedAccessSignature …", AuthChain: "leaf;edge"}
	s, err := client.Connect(t.Context(), creds, iot.Client{Product: "a product", Ended: ended})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}
