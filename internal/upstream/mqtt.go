package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"

	"sluice/iot"
)

// Connect opens a connection for one identity and logs it in with creds.
func (h *Hub) Connect(ctx context.Context, creds iot.Credentials, client iot.Client) (iot.Session, error) {
	id := creds.Identity
	ctx, cancel := context.WithTimeout(ctx, h.opt.ConnectTimeout)
	defer cancel()
	conn, err := h.dialTLS(ctx)
	if err != nil {
		return nil, unreachable("connect", id, err)
	}
	s := newSession(h, id, client)
	s.conn = paho.NewClient(h.clientOptions(creds, client, conn, s))
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

func (h *Hub) dialTLS(ctx context.Context) (net.Conn, error) {
	raw, err := h.dial(ctx, "tcp", h.address(h.opt.MQTTPort))
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, h.tls)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, err
	}
	return conn, nil
}

func (h *Hub) clientOptions(creds iot.Credentials, client iot.Client, conn net.Conn, s *session) *paho.ClientOptions {
	o := paho.NewClientOptions()
	o.AddBroker("tls://" + h.address(h.opt.MQTTPort))
	o.SetCustomOpenConnectionFn(func(*url.URL, paho.ClientOptions) (net.Conn, error) { return conn, nil })
	o.SetClientID(creds.Identity.String())
	o.SetUsername(h.userName(creds, client))
	o.SetPassword(creds.Token)
	o.SetProtocolVersion(4)
	// What is unacknowledged is in the caller's spool: the connection keeps
	// nothing, and is not brought back behind the caller's back.
	o.SetCleanSession(true)
	o.SetAutoReconnect(false)
	o.SetConnectRetry(false)
	o.SetKeepAlive(h.opt.KeepAlive)
	o.SetPingTimeout(h.opt.KeepAlive / 2)
	o.SetWriteTimeout(h.opt.AckTimeout)
	o.SetConnectTimeout(h.opt.ConnectTimeout)
	o.SetOrderMatters(true)
	o.SetMessageChannelDepth(uint(h.opt.Window))
	o.SetConnectionLostHandler(func(_ paho.Client, err error) { s.lost(err) })
	return o
}

// userName is {hub}/{device}[/{module}]/?api-version=…; the properties after
// the question mark are url-encoded.
func (h *Hub) userName(creds iot.Credentials, client iot.Client) string {
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
	return h.opt.HostName + "/" + creds.Identity.String() + "/?" + q
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
