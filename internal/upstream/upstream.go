// Package upstream is the client of a hub elsewhere on the network: Azure IoT
// Hub, a local hub, or a parent gateway. A [Hub] implements [iot.Parent], so a
// gateway cannot tell it from a hub in the same process.
//
// Sessions speak MQTT 3.1.1, one connection each, as the official device SDK
// does; questions about scope go over HTTPS. Connections are not re-established
// here: when one is lost its session ends, everything handed to it and not
// acknowledged fails, and the gateway decides what comes next. The credentials
// are the caller's; this package only carries them.
package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"sluice/iot"
)

// API versions that edgeHub uses towards a hub.
const (
	deviceAPIVersion = "2021-04-12"
	scopeAPIVersion  = "2018-08-30-preview"
)

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
	// MQTTPort and HTTPSPort are the ports; 0 means 8883 and 443.
	MQTTPort, HTTPSPort int
	// Roots verify the hub's certificate; nil means the system's.
	Roots *x509.CertPool
	// ConnectTimeout bounds dialing, handshake and CONNECT; 0 means 20 s.
	ConnectTimeout time.Duration
	// KeepAlive is how soon a silent peer is noticed, roughly; 0 means 30 s.
	KeepAlive time.Duration
	// AckTimeout is how long a message may stay unacknowledged before its
	// connection is taken for dead; 0 means 30 s.
	AckTimeout time.Duration
	// Window is how many messages a session keeps unacknowledged; 0 means 64.
	Window int
	Log    *slog.Logger // nil discards
}

// Hub is a hub elsewhere on the network. Its methods may be called from any
// goroutine.
type Hub struct {
	opt    Options
	tls    *tls.Config
	dialer net.Dialer
	http   *http.Client
}

var _ iot.Parent = (*Hub)(nil)

// New returns a client of the hub that opt describes. It does not connect.
func New(opt Options) (*Hub, error) {
	if opt.HostName == "" {
		return nil, fmt.Errorf("upstream: no host name")
	}
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
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           h.dial,
			TLSClientConfig:       h.tls,
			TLSHandshakeTimeout:   opt.ConnectTimeout,
			ResponseHeaderTimeout: opt.ConnectTimeout,
			MaxIdleConns:          2,
			IdleConnTimeout:       time.Minute,
		},
	}
	return h, nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Close gives up connections that are kept for later questions. Sessions are
// the caller's to close.
func (h *Hub) Close() { h.http.CloseIdleConnections() }

// serverName is whom we expect at the other end.
func (h *Hub) serverName() string {
	if h.opt.ParentHostName != "" {
		return h.opt.ParentHostName
	}
	return h.opt.HostName
}

// dial connects to the peer, wherever the configuration says that it is.
func (h *Hub) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if h.opt.Address != "" {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		address = net.JoinHostPort(h.opt.Address, port)
	}
	return h.dialer.DialContext(ctx, network, address)
}

func (h *Hub) address(port int) string {
	return net.JoinHostPort(h.serverName(), strconv.Itoa(port))
}

// unreachable wraps an error of the network or of TLS.
func unreachable(op string, id iot.Identity, err error) error {
	return &iot.Error{Kind: iot.Unavailable, Op: op, Identity: id, Err: err}
}
