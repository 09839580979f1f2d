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
	id := creds.Identity
	ctx, cancel := context.WithTimeout(ctx, c.ConnectTimeout)
	defer cancel()
	conn, err := c.Dial(ctx)
	if err != nil {
		return nil, unreachable("connect", id, err)
	}
	s := newSession(c, id, client)
	s.conn = paho.NewClient(c.clientOptions(creds, client, conn, s))
	token := s.conn.Connect()
	select {
	case <-token.Done():
		err = token.Error()
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close()
		s.conn.Disconnect(0)
		return nil, connectError(id, err)
	}
	s.begin()
	return s, nil
}

func (c *Config) clientOptions(creds iot.Credentials, client iot.Client, conn net.Conn, s *session) *paho.ClientOptions {
	o := paho.NewClientOptions()
	o.AddBroker("tls://" + c.HostName)
	o.SetCustomOpenConnectionFn(func(*url.URL, paho.ClientOptions) (net.Conn, error) { return conn, nil })
	o.SetClientID(creds.Identity.String())
	o.SetUsername(c.userName(creds, client))
	o.SetPassword(creds.Token)
	o.SetProtocolVersion(4)
	// What is unacknowledged is in the caller's spool: the connection keeps
	// nothing, and is not brought back behind the caller's back.
	o.SetCleanSession(true)
	o.SetAutoReconnect(false)
	o.SetConnectRetry(false)
	o.SetKeepAlive(c.KeepAlive)
	o.SetPingTimeout(c.KeepAlive / 2)
	o.SetWriteTimeout(c.OperationTimeout)
	o.SetConnectTimeout(c.ConnectTimeout)
	o.SetOrderMatters(true)
	o.SetMessageChannelDepth(uint(c.Window))
	o.SetConnectionLostHandler(func(_ paho.Client, err error) { s.lost(err) })
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

// disconnectGrace is how long a closing connection may take to say goodbye.
const disconnectGrace = 100 * time.Millisecond

// unreachable wraps an error of the network or of TLS.
func unreachable(op string, id iot.Identity, err error) error {
	return &iot.Error{Kind: iot.Unavailable, Op: op, Identity: id, Err: err}
}
