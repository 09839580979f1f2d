package service

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"sluice/internal/sas"
)

// apiVersion is that of the forms.
const apiVersion = "2021-04-12"

// tokenLife is how long a token is good, from the moment of its request: longer
// than any request takes, with room for a clock that is wrong.
const tokenLife = 15 * time.Minute

// Options are how a hub is reached. The zero value is good for Azure IoT Hub.
type Options struct {
	Roots   *x509.CertPool // authorities of the hub's certificate; nil: the system's
	Address string         // host or IP to connect to instead of the hub's name
	Port    int            // 0: 443
	// AMQPPort is where commands are sent to a hub that does not take them over
	// HTTPS; 0: 5671.
	AMQPPort int
	Timeout  time.Duration // for each try of a request; 0: 30 s
	// Transport carries requests to a hub in this process, for tests; nil: connections
	// to the above.
	Transport http.RoundTripper
}

// A Client calls the service API of one hub, as one of its shared access
// policies. Its methods may be called from any goroutine.
//
// A request that the hub was too busy for, and a read that was cut off, are tried
// again a few times within seconds; nothing that may have been done already is.
type Client struct {
	host    string // the hub's name
	base    string // https://host[:port]
	opt     Options
	creds   sas.ConnectionString
	timeout time.Duration
	http    *http.Client
	pause   func(ctx context.Context, d time.Duration) error // between tries
}

// New makes a client from the connection string of a policy. It does not connect.
func New(cs sas.ConnectionString, opt Options) (*Client, error) {
	if cs.PolicyName == "" || cs.Key == "" {
		return nil, fmt.Errorf("service: the connection string is not a policy's: it needs SharedAccessKeyName and SharedAccessKey")
	}
	if _, err := sas.DecodeKey(cs.Key); err != nil {
		return nil, fmt.Errorf("service: SharedAccessKey: %w", err)
	}
	host, port := cs.HostName, 443
	if h, p, err := net.SplitHostPort(host); err == nil {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("service: HostName has the port %q", p)
		}
		host, port = h, int(n)
	}
	if opt.Port != 0 {
		port = opt.Port
	}
	c := &Client{host: host, base: "https://" + host, creds: cs, opt: opt, timeout: opt.Timeout, pause: sleep}
	if port != 443 {
		c.base = "https://" + net.JoinHostPort(host, strconv.Itoa(port))
	}
	if c.timeout == 0 {
		c.timeout = 30 * time.Second
	}
	c.http = &http.Client{
		Transport: opt.Transport,
		// A hub does not redirect, and what does is not to see the token.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if opt.Transport == nil {
		c.http.Transport = transport(opt, host, port)
	}
	return c, nil
}

func transport(opt Options, host string, port int) *http.Transport {
	t := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		TLSClientConfig:     &tls.Config{RootCAs: opt.Roots, ServerName: host, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: 10 * time.Second,
		IdleConnTimeout:     30 * time.Second,
	}
	if opt.Address != "" {
		address := net.JoinHostPort(opt.Address, strconv.Itoa(port))
		t.Proxy = nil
		t.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		}
	}
	return t
}

// HostName is the name of the hub.
func (c *Client) HostName() string { return c.host }

// Close drops idle connections. The client may be used again.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
