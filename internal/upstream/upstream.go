// Package upstream is the client of a hub elsewhere on the network: Azure IoT
// Hub, a local hub, or a parent gateway. A [Hub] implements [iot.Parent], so a
// gateway cannot tell it from a hub in the same process.
//
// Sessions speak AMQP 1.0, all over one connection or a few (package amqplink), or
// MQTT 3.1.1, each over one of its own (package mqttlink), as the official device
// SDKs do; either also over WebSockets. Questions about scope go over HTTPS.
//
// Connections are not re-established here: when one is lost its sessions end,
// everything handed to them and not acknowledged fails, and the gateway decides
// what comes next. The credentials are the caller's; this package only carries
// them.
package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"sluice/internal/upstream/amqplink"
	"sluice/internal/upstream/mqttlink"
	"sluice/iot"
)

// scopeAPIVersion is what edgeHub uses towards a hub.
const scopeAPIVersion = "2018-08-30-preview"

// Options configures a Hub. Only HostName is required.
type Options struct {
	// HostName is the hub's name: in user names and in tokens.
	HostName string
	// ParentHostName is the gateway to dial instead of the hub, and the name
	// that its certificate must carry; "" for the hub itself.
	ParentHostName string
	// Address is where to dial, if not what the name resolves to: a host name
	// or IP address, without a port. The certificate is still checked against
	// the name.
	Address string
	// Protocol is what sessions speak; "" means MQTT.
	Protocol Protocol
	// AMQPPort, MQTTPort and HTTPSPort are the ports; 0 means 5671, 8883 and 443.
	AMQPPort, MQTTPort, HTTPSPort int
	// Proxy says through which HTTP proxy HTTPS and WebSockets go; nil means
	// what the environment says (HTTPS_PROXY, NO_PROXY).
	Proxy func(*http.Request) (*url.URL, error)
	// Roots verify the hub's certificate; nil means the system's.
	Roots *x509.CertPool
	// ConnectTimeout bounds dialing, handshake and CONNECT; 0 means 20 s.
	ConnectTimeout time.Duration
	// KeepAlive is how soon a silent peer is noticed, roughly; 0 means 30 s.
	KeepAlive time.Duration
	// AckTimeout is how long a message may stay unacknowledged, or a request
	// unanswered, before its session is given up; 0 means 30 s.
	AckTimeout time.Duration
	// Window is how many messages a session over MQTT keeps unacknowledged; 0
	// means 64.
	Window int
	// Identities is how many sessions share a connection over AMQP; 0 means 995,
	// which IoT Hub allows.
	Identities int
	Log        *slog.Logger // nil discards
}

// Hub is a hub elsewhere on the network. Its methods may be called from any
// goroutine.
type Hub struct {
	opt    Options
	tls    *tls.Config
	dialer net.Dialer
	http   *http.Client
	link   link
	amqp   *amqplink.Pool // nil unless link
}

var _ iot.Parent = (*Hub)(nil)

// New returns a client of the hub that opt describes. It does not connect.
func New(opt Options) (*Hub, error) {
	if opt.HostName == "" {
		return nil, fmt.Errorf("upstream: no host name")
	}
	setDefault(&opt.Protocol, MQTT)
	if opt.Proxy == nil {
		opt.Proxy = http.ProxyFromEnvironment
	}
	setDefault(&opt.AMQPPort, 5671)
	setDefault(&opt.MQTTPort, 8883)
	setDefault(&opt.HTTPSPort, 443)
	setDefault(&opt.ConnectTimeout, 20*time.Second)
	setDefault(&opt.KeepAlive, 30*time.Second)
	setDefault(&opt.AckTimeout, 30*time.Second)
	setDefault(&opt.Window, 64)
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	h := &Hub{
		opt: opt,
		tls: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: opt.Roots},
		// Happy eyeballs: a dead address must not cost the whole timeout.
		dialer: net.Dialer{Timeout: opt.ConnectTimeout, FallbackDelay: 300 * time.Millisecond},
	}
	h.tls.ServerName = h.serverName()
	h.http = &http.Client{
		Timeout: 2 * opt.ConnectTimeout,
		Transport: &http.Transport{
			Proxy:                 opt.Proxy,
			DialContext:           h.dial,
			TLSClientConfig:       h.tls,
			TLSHandshakeTimeout:   opt.ConnectTimeout,
			ResponseHeaderTimeout: opt.ConnectTimeout,
			MaxIdleConns:          2,
			IdleConnTimeout:       time.Minute,
		},
	}
	return h, h.makeLink()
}

func (h *Hub) makeLink() error {
	switch opt := &h.opt; opt.Protocol {
	case AMQP, AMQPWS:
		h.amqp = amqplink.New(amqplink.Config{
			HostName: opt.HostName, Dial: h.dialSession(), ConnectTimeout: opt.ConnectTimeout,
			OperationTimeout: opt.AckTimeout, KeepAlive: opt.KeepAlive, Identities: opt.Identities, Log: opt.Log,
		})
		h.link = h.amqp
	case MQTT, MQTTWS:
		h.link = &mqttlink.Config{
			HostName: opt.HostName, Dial: h.dialSession(), ConnectTimeout: opt.ConnectTimeout,
			OperationTimeout: opt.AckTimeout, KeepAlive: opt.KeepAlive, Window: opt.Window,
		}
	default:
		return fmt.Errorf("upstream: %.50q is no protocol", opt.Protocol)
	}
	return nil
}

// Connect begins a session of one identity with creds.
func (h *Hub) Connect(ctx context.Context, creds iot.Credentials, client iot.Client) (iot.Session, error) {
	return h.link.Connect(ctx, creds, client)
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Close gives up connections that are kept for later questions, and waits for
// those that are closing. Sessions are the caller's to close, before.
func (h *Hub) Close() {
	if h.amqp != nil {
		h.amqp.Close()
	}
	h.http.CloseIdleConnections()
}

// serverName is whom we expect at the other end.
func (h *Hub) serverName() string {
	if h.opt.ParentHostName != "" {
		return h.opt.ParentHostName
	}
	return h.opt.HostName
}

// dial connects to the peer, wherever the configuration says that it is, or to a
// proxy on the way to it.
func (h *Hub) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if h.opt.Address != "" && host == h.serverName() {
		address = net.JoinHostPort(h.opt.Address, port)
	}
	return h.dialer.DialContext(ctx, network, address)
}

func (h *Hub) dialTLS(ctx context.Context, port int) (net.Conn, error) {
	raw, err := h.dial(ctx, "tcp", h.address(port))
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

func (h *Hub) address(port int) string {
	return net.JoinHostPort(h.serverName(), strconv.Itoa(port))
}

// unreachable wraps an error of the network or of TLS.
func unreachable(op string, id iot.Identity, err error) error {
	return &iot.Error{Kind: iot.Unavailable, Op: op, Identity: id, Err: err}
}
