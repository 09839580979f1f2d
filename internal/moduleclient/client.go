package moduleclient

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"sluice/internal/sas"
	"sluice/internal/upstream"
	"sluice/iot"
)

// Options are what the environment does not say. The zero value is a good one.
type Options struct {
	// Protocol is what sessions speak; "" means AMQP, by which many leaves share a
	// connection.
	Protocol upstream.Protocol
	// Address is where to dial, if not what the gateway's name resolves to.
	Address string
	// AMQPPort, MQTTPort and HTTPSPort are the gateway's; 0 means 5671, 8883, 443.
	AMQPPort, MQTTPort, HTTPSPort int
	// Roots verify the gateway's certificate; nil means Environment.Roots, or what
	// the workload API says.
	Roots *x509.CertPool
	// TokenLife is how long a token is valid; 0 means one hour. It is replaced when
	// a quarter of it is left.
	TokenLife time.Duration
	// Product is what sessions say they are.
	Product string
	Log     *slog.Logger // nil discards
}

const defaultTokenLife = time.Hour

// A Client is a module's way to its gateway. Its methods may be called from any
// goroutine.
type Client struct {
	env   Environment
	opt   Options
	hub   iot.Hub
	sign  signer
	close func()

	life   context.Context // until Close
	end    context.CancelFunc
	mu     sync.Mutex
	closed bool
	work   sync.WaitGroup // what renews tokens
}

// Open finds out whom to trust, and returns a client. It does not connect.
func Open(ctx context.Context, env Environment, opt Options) (*Client, error) {
	if opt.Protocol == "" {
		opt.Protocol = upstream.AMQP
	}
	c := newClient(env, opt)
	var api *workloadAPI
	var err error
	if env.Key != "" {
		c.sign, err = signWith(env)
	} else if api, err = newWorkloadAPI(env); err == nil {
		c.sign = api.sign
	}
	if err != nil {
		return nil, err
	}
	roots, err := c.roots(ctx, api)
	if err != nil {
		return nil, err
	}
	hub, err := upstream.New(upstream.Options{
		HostName: env.Hub, ParentHostName: env.Gateway, Address: opt.Address, Protocol: opt.Protocol,
		AMQPPort: opt.AMQPPort, MQTTPort: opt.MQTTPort, HTTPSPort: opt.HTTPSPort, Roots: roots, Log: opt.Log,
	})
	if err != nil {
		return nil, fmt.Errorf("moduleclient: %w", err)
	}
	c.hub = hub
	c.close = func() {
		hub.Close()
		if api != nil {
			api.close()
		}
	}
	return c, nil
}

// Over returns a client of a hub or gateway in this process, for tests. The
// environment has a key.
func Over(hub iot.Hub, env Environment, opt Options) (*Client, error) {
	c := newClient(env, opt)
	c.hub, c.close = hub, func() {}
	var err error
	c.sign, err = signWith(env)
	return c, err
}

func newClient(env Environment, opt Options) *Client {
	if opt.TokenLife == 0 {
		opt.TokenLife = defaultTokenLife
	}
	c := &Client{env: env, opt: opt}
	c.life, c.end = context.WithCancel(context.Background())
	return c
}

// roots finds what verifies the gateway; nil means what the system trusts.
func (c *Client) roots(ctx context.Context, api *workloadAPI) (*x509.CertPool, error) {
	if c.opt.Roots != nil {
		return c.opt.Roots, nil
	}
	var pem []byte
	var err error
	switch {
	case c.env.Roots != "":
		pem, err = os.ReadFile(c.env.Roots)
	case api != nil && c.env.Gateway != "":
		pem, err = api.trustBundle(ctx)
	}
	if err != nil || len(pem) == 0 {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("moduleclient: what the gateway says to trust has no certificate")
	}
	return pool, nil
}

// Identity is the module that the client is.
func (c *Client) Identity() iot.Identity { return c.env.Identity }

// HubName is the host name of the hub.
func (c *Client) HubName() string { return c.env.Hub }

// Close closes what connections are left. Sessions are the caller's to close,
// before.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.end()
	c.work.Wait()
	c.close()
}

// Connect begins a session of the module.
func (c *Client) Connect(ctx context.Context, client iot.Client) (iot.Session, error) {
	return c.connect(ctx, c.env.Identity, c.sign, client)
}

// ConnectLeaf begins a session of a leaf, whose key is derived from the module's.
// The error is an [iot.Error]; its kind is Unauthorized if the gateway knows no
// such leaf, or another key of it.
func (c *Client) ConnectLeaf(ctx context.Context, leaf string, client iot.Client) (iot.Session, error) {
	if err := iot.ValidateID(leaf); err != nil {
		return nil, iot.Errorf(iot.Invalid, "connect", iot.Identity{}, "leaf id %.150q %v", leaf, err)
	}
	return c.connect(ctx, iot.DeviceIdentity(leaf), c.leafSigner(leaf), client)
}

// LeafKey derives the key of a leaf.
func (c *Client) LeafKey(ctx context.Context, leaf string) (iot.Secret, error) {
	key, err := c.sign(ctx, []byte(leaf))
	if err != nil {
		return "", err
	}
	return iot.Secret(base64.StdEncoding.EncodeToString(key)), nil
}

// leafSigner signs with the key of a leaf, which is derived each time: ten
// thousand keys need not lie in memory.
func (c *Client) leafSigner(leaf string) signer {
	return func(ctx context.Context, data []byte) ([]byte, error) {
		key, err := c.sign(ctx, []byte(leaf))
		if err != nil {
			return nil, err
		}
		mac := hmac.New(sha256.New, key)
		mac.Write(data)
		return mac.Sum(nil), nil
	}
}

func (c *Client) credentials(ctx context.Context, id iot.Identity, sign signer) (iot.Credentials, error) {
	token, err := sas.SignWith(func(data []byte) ([]byte, error) { return sign(ctx, data) },
		sas.Resource{Host: c.env.Hub, Identity: id}, "", time.Now().Add(c.opt.TokenLife))
	if err != nil {
		return iot.Credentials{}, &iot.Error{Kind: iot.Unavailable, Op: "connect", Identity: id, Err: err}
	}
	return iot.Credentials{Identity: id, Token: token}, nil
}
