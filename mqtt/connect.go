package mqtt

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"sluice/mqtt/internal/packet"
)

// connect takes the connection from accept to CONNACK.
func (c *Conn) connect(ctx context.Context) error {
	// One absolute deadline for handshake and CONNECT: a byte now and then must
	// not extend it.
	c.setReadDeadline(time.Now().Add(c.group.limits.ConnectTimeout))
	state, err := c.handshake()
	if err != nil {
		return err
	}
	connect, err := c.readConnect()
	if err != nil {
		return c.refuse(err)
	}
	connect.TLS = state
	connect.RemoteAddr = c.RemoteAddr()
	c.client, c.connected = connect.ClientID, true

	ctx, cancel := context.WithTimeout(ctx, c.group.limits.ConnectTimeout)
	defer cancel()
	session, present, err := c.group.server.Backend.Connect(ctx, connect, c)
	if err != nil {
		return c.refuse(err)
	}
	c.will = connect.Will
	c.setSilence(connect.KeepAlive)
	c.open(session, present && !connect.CleanSession) // [MQTT-3.2.2-1] [MQTT-3.2.2-2] [MQTT-3.2.2-3]
	return nil
}

// handshake completes TLS, if there is any, so that its time counts as the
// client's to connect.
func (c *Conn) handshake() (*tls.ConnectionState, error) {
	t, ok := c.nc.(*tls.Conn)
	if !ok {
		t, ok = c.under.Conn.(*tls.Conn)
	}
	if !ok {
		return c.stateBelow(), nil
	}
	_ = t.SetWriteDeadline(time.Now().Add(c.group.limits.ConnectTimeout))
	if err := t.Handshake(); err != nil {
		return nil, fmt.Errorf("mqtt: TLS handshake: %w", err)
	}
	state := t.ConnectionState()
	return &state, nil
}

// stateBelow is the state of a TLS connection that somebody else has put below what
// carries MQTT, as below a WebSocket; nil if there is none.
func (c *Conn) stateBelow() *tls.ConnectionState {
	t, ok := c.under.Conn.(interface{ ConnectionState() tls.ConnectionState })
	if !ok {
		return nil
	}
	state := t.ConnectionState()
	return &state
}

// readConnect reads the first packet, which must be a CONNECT [MQTT-3.1.0-1].
func (c *Conn) readConnect() (*Connect, error) {
	_, body, err := c.next()
	if err != nil {
		return nil, err
	}
	p, err := packet.DecodeConnect(body)
	if errors.Is(err, packet.ErrLevel) {
		return nil, &ConnectError{Code: CodeProtocolVersion, Err: err} // [MQTT-3.1.2-2]
	}
	if err != nil {
		return nil, err
	}
	if p.ClientID == "" && !p.CleanSession {
		return nil, &ConnectError{Code: CodeIdentifierRejected, // [MQTT-3.1.3-8]
			Err: errors.New("no client identifier for a session that is to be kept")}
	}
	connect := &Connect{
		ClientID:     p.ClientID,
		CleanSession: p.CleanSession,
		Username:     p.Username,
		Password:     p.Password,
		KeepAlive:    time.Duration(p.KeepAlive) * time.Second,
	}
	if w := p.Will; w != nil {
		connect.Will = &Message{Topic: w.Topic, Payload: w.Payload, QoS: QoS(w.QoS), Retain: w.Retain}
		if err := c.checkTopic(w.Topic); err != nil {
			return nil, fmt.Errorf("will: %w", err)
		}
	}
	return connect, nil
}

// setSilence sets how long the client may be silent: 1.5 times its keep-alive
// [MQTT-3.1.2-24], and never more than the limit.
func (c *Conn) setSilence(keepAlive time.Duration) {
	limit := c.group.limits.MaxKeepAlive
	c.silence = keepAlive * 3 / 2
	if c.silence == 0 || c.silence > limit {
		c.silence = limit
	}
	c.alive = time.Now()
	c.under.before = c.beforeRead
	c.setReadDeadline(c.alive.Add(c.silence))
}

// open sends the CONNACK, which is the first packet [MQTT-3.2.0-1], and gives the
// connection its session.
func (c *Conn) open(s Session, present bool) {
	stats := &c.group.server.Stats
	stats.Sessions.Add(1)
	stats.PacketsIn.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session = s
	c.out.starved = true // for the first Ready
	if c.closing {
		return // the session is told by close
	}
	c.out.append(func(b []byte) []byte { return packet.AppendConnack(b, present, 0) })
	c.wakeWriter()
}

// refuse answers err, if it is a ConnectError, and returns it [MQTT-3.2.2-4].
func (c *Conn) refuse(err error) error {
	var ce *ConnectError
	if !errors.As(err, &ce) {
		return err
	}
	c.mu.Lock()
	c.out.append(func(b []byte) []byte { return packet.AppendConnack(b, false, byte(ce.Code)) }) // [MQTT-3.2.2-6]
	c.wakeWriter()
	c.flush()
	c.mu.Unlock()
	c.linger()
	return err
}

// linger waits a little for the client to close first. To close a socket with
// unread bytes resets it, and the client would lose the CONNACK.
func (c *Conn) linger() {
	if t, ok := c.nc.(*tls.Conn); ok {
		_ = t.CloseWrite()
	}
	if t, ok := c.under.Conn.(*net.TCPConn); ok && t.CloseWrite() == nil {
		c.setReadDeadline(time.Now().Add(time.Second))
		_, _ = t.Read(make([]byte, 4<<10))
	}
}
