package amqplink

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

	"sluice/amqp10"
	"sluice/internal/amqpmsg"
	"sluice/internal/await"
	"sluice/iot"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const hubName = "hub.test"

// A fakeHub is the far end: AMQP without TLS, that does what a test says and notes
// what it is asked.
type fakeHub struct {
	t    testing.TB
	addr string

	// Set before the first connection.
	judge     func(name, token string) (status int32)           // of put-token; nil: 200
	attach    func(*amqp10.LinkRequest) *amqp10.Error           // nil, or returning nil: accepted
	telemetry func(*fakeConn, *amqp10.Delivery)                 // nil: accepted
	request   func(*fakeConn, *amqp10.Delivery, *amqp10.Sender) // to methods or twin
	limits    amqp10.Limits

	mu    sync.Mutex
	notes []string
	conns []*fakeConn
}

type fakeConn struct {
	hub  *fakeHub
	amqp *amqp10.Conn

	mu      sync.Mutex
	senders map[string]*amqp10.Sender // our sending ends, by address
	claims  *amqp10.Sender
	held    []*amqp10.Delivery
	closed  chan struct{}
}

func startHub(t testing.TB) *fakeHub {
	t.Helper()
	return startHubWith(t, amqp10.Limits{Sessions: 2000, Links: 60_000})
}

func startHubWith(t testing.TB, limits amqp10.Limits) *fakeHub {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &fakeHub{t: t, addr: l.Addr().String(), limits: limits}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		server := &amqp10.Server{
			ContainerID: "hub", Mechanisms: []*amqp10.Mechanism{amqp10.MSSBCBS(nil)}, Open: h.open, Limits: h.limits,
		}
		_ = server.Serve(ctx, l) // ends with ctx
	}()
	t.Cleanup(func() { stop(); <-done })
	return h
}

// pool returns a client of h.
func (h *fakeHub) pool(change func(*Config)) *Pool {
	h.t.Helper()
	cfg := Config{
		HostName: hubName, ConnectTimeout: await.Patience, OperationTimeout: await.Patience,
		Dial: func(ctx context.Context) (net.Conn, error) { return new(net.Dialer).DialContext(ctx, "tcp", h.addr) },
	}
	if change != nil {
		change(&cfg)
	}
	p := New(cfg)
	h.t.Cleanup(p.Close)
	return p
}

func (h *fakeHub) connect(p *Pool, id iot.Identity, ended func(error)) iot.Session {
	h.t.Helper()
	s, err := p.Connect(context.Background(), creds(id), iot.Client{Product: "a product", Ended: ended})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = s.Close() })
	return s
}

func creds(id iot.Identity) iot.Credentials {
	return iot.Credentials{Identity: id, Token: "SharedAccessSignature of edge", AuthChain: id.String() + ";edge"}
}

func (h *fakeHub) note(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.notes = append(h.notes, fmt.Sprintf(format, args...))
}

// transcript is what was noted, with what is random made plain.
func (h *fakeHub) transcript() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.notes)
}

func (h *fakeHub) open(a *amqp10.Conn) (amqp10.Handler, error) {
	h.note("open hostname=%s mechanism=%s", a.Peer().Hostname, a.Mechanism())
	c := &fakeConn{hub: h, amqp: a, senders: make(map[string]*amqp10.Sender), closed: make(chan struct{})}
	h.mu.Lock()
	h.conns = append(h.conns, c)
	h.mu.Unlock()
	return c, nil
}

// conn waits for the n-th connection.
func (h *fakeHub) conn(n int) *fakeConn {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.conns[n]
}

func (h *fakeHub) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.conns)
}

func (c *fakeConn) Closed(error) { close(c.closed) }

func (c *fakeConn) Attach(r *amqp10.LinkRequest) {
	h := c.hub
	var address string
	if r.Role == amqp10.RoleReceiver {
		address = r.Target.Address
	} else {
		address = r.Source.Address
	}
	h.note("attach %s %s mode=%d%s", map[amqp10.Role]string{amqp10.RoleReceiver: "to", amqp10.RoleSender: "from"}[r.Role], address, r.SenderMode, fields(r.Properties))
	if h.attach != nil {
		if err := h.attach(r); err != nil {
			r.Refuse(err)
			return
		}
	}
	if r.Role == amqp10.RoleSender {
		c.mu.Lock() // before the client knows of the link
		defer c.mu.Unlock()
		s := r.AcceptSender(amqp10.SenderConfig{})
		if address == cbsNode {
			c.claims = s
			return
		}
		c.senders[address] = s
		return
	}
	r.AcceptReceiver(amqp10.ReceiverConfig{Window: 1000, OnDelivery: func(d *amqp10.Delivery) { c.take(address, d) }})
}

// fields are the properties of a link, with random parts left out.
func fields(all amqp10.Fields) string {
	var b strings.Builder
	for _, f := range all {
		v := fmt.Sprint(f.Value)
		if f.Key == "com.microsoft:channel-correlation-id" {
			v, _, _ = strings.Cut(v, ":")
			v += ":*"
		}
		fmt.Fprintf(&b, " %s=%q", f.Key, v)
	}
	return b.String()
}

func (c *fakeConn) take(address string, d *amqp10.Delivery) {
	h := c.hub
	h.note("transfer %s %s", address, describe(h.t, d))
	switch {
	case address == cbsNode:
		c.judge(d)
	case strings.HasSuffix(address, "/messages/events"):
		if h.telemetry != nil {
			h.telemetry(c, d)
			return
		}
		d.Accept()
	default:
		d.Accept()
		if h.request != nil {
			c.mu.Lock()
			back := c.senders[address]
			c.mu.Unlock()
			h.request(c, d, back)
		}
	}
}

func (c *fakeConn) judge(d *amqp10.Delivery) {
	msg, _ := d.Message()
	d.Accept()
	status := int32(200)
	if c.hub.judge != nil {
		status = c.hub.judge(msg.ApplicationProperties.Text("name"), fmt.Sprint(msg.Value))
	}
	if status == 0 {
		return // says nothing
	}
	answer := &amqp10.Message{Properties: &amqp10.Properties{CorrelationID: msg.Properties.MessageID}}
	answer.ApplicationProperties.Set("status-code", status)
	answer.ApplicationProperties.Set("status-description", "said the hub")
	c.mu.Lock()
	back := c.claims
	c.mu.Unlock()
	if err := back.Send(amqp10.Outgoing{Message: answer}); err != nil && c.amqp.Err() == nil {
		c.hub.t.Errorf("answer to a token: %v", err)
	}
}

// describe is a delivery as text.
func describe(t testing.TB, d *amqp10.Delivery) string {
	if d.Format() == amqp10.FormatBatch {
		all, err := amqp10.DecodeBatch(d.Payload(), 10_000)
		if err != nil {
			t.Errorf("batch: %v", err)
		}
		var parts []string
		for _, m := range all {
			parts = append(parts, message(m))
		}
		return "batch [" + strings.Join(parts, " | ") + "]"
	}
	m, err := d.Message()
	if err != nil {
		t.Errorf("message: %v", err)
		return ""
	}
	return message(m)
}

func message(m *amqp10.Message) string {
	var b strings.Builder
	if p := m.Properties; p != nil {
		for _, v := range []struct {
			name  string
			value any
		}{
			{"message-id", p.MessageID}, {"correlation-id", p.CorrelationID}, {"to", p.To}, {"reply-to", p.ReplyTo},
			{"content-type", p.ContentType}, {"content-encoding", p.ContentEncoding}, {"user-id", string(p.UserID)},
		} {
			text := fmt.Sprint(v.value)
			if v.value == nil || text == "" {
				continue
			}
			if _, err := amqp10.ParseUUID(text); err == nil {
				text = "*"
			}
			fmt.Fprintf(&b, "%s=%q ", v.name, text)
		}
		if !p.AbsoluteExpiry.IsZero() {
			fmt.Fprintf(&b, "expiry=%s ", p.AbsoluteExpiry.UTC().Format(time.RFC3339))
		}
	}
	for _, a := range m.Annotations {
		fmt.Fprintf(&b, "@%s=%#v ", a.Key, a.Value)
	}
	for _, a := range m.ApplicationProperties {
		fmt.Fprintf(&b, "%s=%#v ", a.Key, a.Value)
	}
	body, _ := amqpmsg.Body(m)
	return fmt.Sprintf("%sbody=%.60q", b.String(), body)
}

// hold keeps a delivery unsettled until release.
func (c *fakeConn) hold(d *amqp10.Delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = append(c.held, d)
}

func (c *fakeConn) release(settle func(*amqp10.Delivery)) {
	c.mu.Lock()
	held := c.held
	c.held = nil
	c.mu.Unlock()
	for _, d := range held {
		settle(d)
	}
}
