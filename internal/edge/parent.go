package edge

import (
	"context"
	"crypto/x509"
	"log/slog"
	"sync"

	"sluice/internal/edge/config"
	"sluice/internal/upstream"
	"sluice/iot"
)

// parent is the hub above, reached with the authorities that are trusted at the
// moment: when those have changed, what follows goes through a new client.
type parent struct {
	opt   upstream.Options
	roots *roots

	mu   sync.Mutex
	pool *x509.CertPool // of hub
	hub  *upstream.Hub
}

var (
	_ iot.Parent = (*parent)(nil)
	_ iot.Files  = (*parent)(nil)
)

func newParent(cfg *config.Config, log *slog.Logger) (*parent, error) {
	trusted, err := openRoots(true, log, cfg.Hub.CA, cfg.TrustBundle)
	if err != nil {
		return nil, err
	}
	p := &parent{roots: trusted, opt: upstream.Options{
		HostName:       cfg.HubHostName,
		ParentHostName: cfg.ParentHostName,
		Address:        cfg.Hub.Address,
		Protocol:       cfg.Hub.Protocol,
		AMQPPort:       cfg.Hub.AMQPPort,
		MQTTPort:       cfg.Hub.MQTTPort,
		HTTPSPort:      cfg.Hub.HTTPSPort,
		Log:            log,
	}}
	if _, err := p.client(); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *parent) client() (*upstream.Hub, error) {
	pool := p.roots.current()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hub != nil && pool == p.pool {
		return p.hub, nil
	}
	opt := p.opt
	opt.Roots = pool
	hub, err := upstream.New(opt)
	if err != nil {
		return nil, err
	}
	if p.hub != nil {
		p.hub.Close()
	}
	p.hub, p.pool = hub, pool
	return hub, nil
}

// Connect implements [iot.Hub].
func (p *parent) Connect(ctx context.Context, creds iot.Credentials, client iot.Client) (iot.Session, error) {
	hub, err := p.client()
	if err != nil {
		return nil, err
	}
	return hub.Connect(ctx, creds, client)
}

// InScope implements [iot.Scopes].
func (p *parent) InScope(ctx context.Context, creds iot.Credentials, continuation string) (iot.ScopePage, error) {
	hub, err := p.client()
	if err != nil {
		return iot.ScopePage{}, err
	}
	return hub.InScope(ctx, creds, continuation)
}

// Lookup implements [iot.Scopes].
func (p *parent) Lookup(ctx context.Context, creds iot.Credentials, target iot.Identity) ([]iot.Registration, error) {
	hub, err := p.client()
	if err != nil {
		return nil, err
	}
	return hub.Lookup(ctx, creds, target)
}

// BeginUpload implements [iot.Files].
func (p *parent) BeginUpload(ctx context.Context, creds iot.Credentials, name string) (iot.Upload, error) {
	hub, err := p.client()
	if err != nil {
		return iot.Upload{}, err
	}
	return hub.BeginUpload(ctx, creds, name)
}

// EndUpload implements [iot.Files].
func (p *parent) EndUpload(ctx context.Context, creds iot.Credentials, result iot.UploadResult) error {
	hub, err := p.client()
	if err != nil {
		return err
	}
	return hub.EndUpload(ctx, creds, result)
}

func (p *parent) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hub.Close()
}
