package mqttlink

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/internal/await"
	"sluice/iot"
	"sluice/mqtt"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A fakeHub is the far end: MQTT without TLS, that does what a test says and notes
// what it is asked.
type fakeHub struct {
	t    testing.TB
	addr string

	// Set before the first connection.
	login  func(*mqtt.Connect) error
	grant  func(topic string) mqtt.QoS             // nil: what is asked for
	answer func(c *fakeConn, p *mqtt.Publish) bool // to what is no telemetry; true if that was all

	mu    sync.Mutex
	notes []string
	conns []*fakeConn
}

type fakeConn struct {
	hub    *fakeHub
	conn   *mqtt.Conn
	closed chan struct{}
}

func startHub(t testing.TB) *fakeHub {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &fakeHub{t: t, addr: l.Addr().String()}
	server := &mqtt.Server{Backend: h, Limits: mqtt.Limits{ShutdownGrace: time.Millisecond}}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(ctx, l) }() // ends with ctx
	t.Cleanup(func() { stop(); <-done })
	return h
}

func (h *fakeHub) connect(creds iot.Credentials, client iot.Client) (iot.Session, error) {
	cfg := &Config{
		HostName: "hub.test", ConnectTimeout: await.Patience, OperationTimeout: await.Patience, KeepAlive: await.Patience, Window: 8,
		Dial: func(ctx context.Context) (net.Conn, error) { return new(net.Dialer).DialContext(ctx, "tcp", h.addr) },
	}
	s, err := cfg.Connect(context.Background(), creds, client)
	if err == nil {
		h.t.Cleanup(func() { _ = s.Close() })
	}
	return s, err
}

func (h *fakeHub) note(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.notes = append(h.notes, fmt.Sprintf(format, args...))
}

func (h *fakeHub) transcript() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.notes)
}

// conn returns the n-th connection.
func (h *fakeHub) conn(n int) *fakeConn {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.conns[n]
}

func (h *fakeHub) Connect(_ context.Context, c *mqtt.Connect, conn *mqtt.Conn) (mqtt.Session, bool, error) {
	h.note("CONNECT %q user=%q password=%q clean=%v", c.ClientID, c.Username, c.Password, c.CleanSession)
	if h.login != nil {
		if err := h.login(c); err != nil {
			return nil, false, err
		}
	}
	f := &fakeConn{hub: h, conn: conn, closed: make(chan struct{})}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conns = append(h.conns, f)
	return f, false, nil
}

func (c *fakeConn) Publish(batch []mqtt.Publish) {
	for i := range batch {
		p := batch[i]
		c.hub.note("PUBLISH %s qos=%d %q", p.Topic, p.QoS, p.Payload)
		if c.hub.answer != nil && strings.HasPrefix(p.Topic, "$iothub/") && c.hub.answer(c, &p) {
			continue
		}
		p.Ack(nil)
	}
}

func (c *fakeConn) Subscribe(filters []mqtt.Filter) (granted []mqtt.QoS, _ error) {
	for _, f := range filters {
		c.hub.note("SUBSCRIBE %s qos=%d", f.Topic, f.QoS)
		qos := f.QoS
		if c.hub.grant != nil {
			qos = c.hub.grant(f.Topic)
		}
		granted = append(granted, qos)
	}
	return granted, nil
}

func (c *fakeConn) Unsubscribe(filters []string) error {
	c.hub.note("UNSUBSCRIBE %s", strings.Join(filters, " "))
	return nil
}

func (*fakeConn) Ready()                        {}
func (c *fakeConn) Closed(error, *mqtt.Message) { close(c.closed) }

// publish sends a message to the client; acked is closed when it has acknowledged.
func (c *fakeConn) publish(topic, payload string, qos mqtt.QoS) (acked chan error) {
	c.hub.t.Helper()
	acked = make(chan error, 1)
	_, err := c.conn.Publish(mqtt.Message{Topic: topic, Payload: []byte(payload), QoS: qos}, func(err error) { acked <- err })
	if err != nil {
		c.hub.t.Fatal(err)
	}
	return acked
}
