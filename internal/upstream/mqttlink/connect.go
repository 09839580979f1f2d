// Package mqttlink speaks MQTT 3.1.1 to a hub elsewhere on the network, as the
// official device SDK does: one connection for each identity.
package mqttlink

import (
	"context"
	"errors"
	"net"
	"net/url"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"

	"sluice/iot"
)

// deviceAPIVersion is what edgeHub uses towards a hub.
const deviceAPIVersion = "2021-04-12"

// Config says where the hub is and how it is spoken to. All of it is required.
type Config struct {
	// HostName is the hub's name: in user names.
	HostName string
	// Dial connects, and does all that is below MQTT: TLS, WebSocket.
	Dial func(context.Context) (net.Conn, error)
	// ConnectTimeout bounds dialing, handshake and CONNECT.
	ConnectTimeout time.Duration
	// OperationTimeout is how long a message may stay unacknowledged, and a
	// request unanswered, before the connection is taken for dead.
	OperationTimeout time.Duration
	// KeepAlive is how soon a silent hub is noticed, roughly.
	KeepAlive time.Duration
	// Window is how many messages a session keeps unacknowledged.
	Window int
}

// Connect opens a connection for one identity and logs it in with creds.
func (c *Config) Connect(ctx context.Context, creds iot.Credentials, client iot.Client) (iot.Session, error) {
	s := newSession(c, creds.Identity, client)
	conn, err := s.connect(ctx, creds)
	if err != nil {
		return nil, err
	}
	s.begin(conn)
	return s, nil
}

// A connection is one that a session has or had.
type connection struct {
	paho.Client
	s *session
}

// connect opens a connection of the session's identity.
func (s *session) connect(ctx context.Context, creds iot.Credentials) (*connection, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.ConnectTimeout)
	defer cancel()
	nc, err := s.cfg.Dial(ctx)
	if err != nil {
		return nil, unreachable("connect", s.id, err)
	}
	conn := &connection{s: s}
	conn.Client = paho.NewClient(conn.options(creds, nc))
	token := conn.Connect()
	select {
	case <-token.Done():
		err = token.Error()
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		_ = nc.Close()
		conn.Disconnect(0)
		return nil, connectError(s.id, err)
	}
	return conn, nil
}

func (conn *connection) options(creds iot.Credentials, nc net.Conn) *paho.ClientOptions {
	c := conn.s.cfg
	o := paho.NewClientOptions()
	o.AddBroker("tls://" + c.HostName)
	o.SetCustomOpenConnectionFn(func(*url.URL, paho.ClientOptions) (net.Conn, error) { return nc, nil })
	o.SetClientID(creds.Identity.String())
	o.SetUsername(c.userName(creds, conn.s.client))
	o.SetPassword(creds.Token)
	o.SetProtocolVersion(4)
	// What is unacknowledged is in the caller's spool: the connection keeps
	// nothing, and is not brought back behind the caller's back.
	o.SetCleanSession(true)
	o.SetAutoReconnect(false)
	o.SetConnectRetry(false)
	o.SetKeepAlive(c.KeepAlive)
	o.SetPingTimeout(c.KeepAlive / 2)
	o.SetWriteTimeout(min(c.OperationTimeout, writeTimeout))
	o.SetConnectTimeout(c.ConnectTimeout)
	o.SetOrderMatters(true)
	o.SetMessageChannelDepth(uint(c.Window))
	o.SetAutoAckDisabled(true) // a command is acknowledged when it is settled
	o.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { conn.s.arrived(m) })
	o.SetConnectionLostHandler(func(_ paho.Client, err error) { conn.s.lost(conn, err) })
	return o
}

// userName is {hub}/{device}[/{module}]/?api-version=…; the properties after
// the question mark are url-encoded.
func (c *Config) userName(creds iot.Credentials, client iot.Client) string {
	q := "api-version=" + deviceAPIVersion
	if client.Product != "" {
		q += "&DeviceClientType=" + url.QueryEscape(client.Product)
	}
	if client.ModelID != "" {
		q += "&model-id=" + url.QueryEscape(client.ModelID)
	}
	if creds.AuthChain != "" {
		q += "&auth-chain=" + url.QueryEscape(creds.AuthChain)
	}
	return c.HostName + "/" + creds.Identity.String() + "/?" + q
}

// connectError tells a refusal by the hub from a connection that failed.
func connectError(id iot.Identity, err error) error {
	kind := iot.Unavailable
	switch {
	case errors.Is(err, packets.ErrorRefusedNotAuthorised),
		errors.Is(err, packets.ErrorRefusedBadUsernameOrPassword),
		errors.Is(err, packets.ErrorRefusedIDRejected):
		kind = iot.Unauthorized
	case errors.Is(err, packets.ErrorRefusedBadProtocolVersion):
		kind = iot.Invalid
	case errors.Is(err, context.DeadlineExceeded):
		kind = iot.Timeout
	}
	return &iot.Error{Kind: kind, Op: "connect", Identity: id, Err: err}
}

// writeTimeout is how long a packet may take to be written.
const writeTimeout = 10 * time.Second

// disconnectGrace is how long a closing connection may take to say goodbye.
const disconnectGrace = 100 * time.Millisecond

// unreachable wraps an error of the network or of TLS.
func unreachable(op string, id iot.Identity, err error) error {
	return &iot.Error{Kind: iot.Unavailable, Op: op, Identity: id, Err: err}
}
