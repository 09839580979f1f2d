package edge

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"sluice/internal/edge/config"
	"sluice/internal/pki"
	"sluice/internal/tlsx"
)

// A certificate is the server's, with what keeps it fresh.
type certificate struct {
	*tlsx.Certificate
	source string  // for the log
	issuer *issuer // nil if somebody else keeps it fresh
	trust  []byte  // PEM of the root that Sluice made, or nil
	log    *slog.Logger
	now    func() time.Time

	renewing sync.Mutex
	warned   time.Time // of its end
}

// openCertificate finds or makes the certificate that cfg asks for.
func openCertificate(cfg *config.Config, log *slog.Logger) (*certificate, error) {
	c := &certificate{log: log, now: time.Now}
	if cfg.Server.Cert != "" {
		held, err := tlsx.LoadCertificate(cfg.Server.Cert, cfg.Server.Key)
		if err != nil {
			return nil, fmt.Errorf("server certificate: %w", err)
		}
		c.Certificate, c.source = held, cfg.Server.Cert
		return c, nil
	}
	c.issuer = &issuer{
		names: serverNames(cfg),
		cert:  filepath.Join(cfg.DataDir, "certs", "server.pem"),
		key:   filepath.Join(cfg.DataDir, "certs", "server-key.pem"),
		now:   time.Now, log: log,
	}
	if err := c.choose(cfg); err != nil {
		return nil, err
	}
	pair, err := c.issuer.current()
	if err != nil {
		return nil, err
	}
	c.Certificate = tlsx.NewCertificate(pair.TLS())
	return c, nil
}

// choose sets who signs.
func (c *certificate) choose(cfg *config.Config) error {
	if ca := cfg.EdgeCA; ca.Cert != "" {
		c.source = "edge CA " + ca.Cert
		c.issuer.authority = ca.Cert
		c.issuer.open = func() (*pki.Authority, error) {
			a, err := pki.ReadAuthority(ca.Cert, ca.Key)
			if err != nil {
				return nil, fmt.Errorf("edge CA: %w", err)
			}
			return a, nil
		}
		return nil
	}
	return c.chooseOwn(rootFiles(cfg), cfg.HostName)
}

// chooseOwn lets a root of Sluice's own sign, and makes it the first time.
func (c *certificate) chooseOwn(root config.KeyPair, host string) error {
	made, err := ensureRoot(root, host, c.log)
	if err != nil {
		return err
	}
	if c.trust, err = os.ReadFile(root.Cert); err != nil {
		return fmt.Errorf("root certificate: %w", err)
	}
	c.source = "own root " + root.Cert
	c.issuer.authority = root.Cert
	c.issuer.open = func() (*pki.Authority, error) {
		if made != nil {
			return made, nil // it may not be valid yet by a clock that is not set
		}
		return pki.ReadAuthority(root.Cert, root.Key)
	}
	return nil
}

// serverNames are the names by which devices reach the gateway.
func serverNames(cfg *config.Config) []string {
	return append([]string{cfg.HostName}, cfg.Names...)
}

func rootFiles(cfg *config.Config) config.KeyPair {
	return config.KeyPair{
		Cert: filepath.Join(cfg.DataDir, "root.pem"),
		Key:  filepath.Join(cfg.DataDir, "private", "root-key.pem"),
	}
}

// ensureRoot makes Sluice's own root, or returns nil if there is one.
func ensureRoot(files config.KeyPair, host string, log *slog.Logger) (*pki.Authority, error) {
	_, certErr := os.Stat(files.Cert)
	_, keyErr := os.Stat(files.Key)
	switch {
	case errors.Is(certErr, fs.ErrNotExist):
		// A key alone is what a crash may have left of an earlier attempt, which
		// nobody has trusted yet.
	case errors.Is(keyErr, fs.ErrNotExist):
		return nil, fmt.Errorf("root certificate %s: %w", files.Cert, errRootKey)
	default:
		return nil, nil // if they cannot be read, the reader will say so
	}
	now := issuingTime(time.Now())
	name := "Sluice root of " + host[:min(len(host), 48)] // 64 characters are the limit
	root, err := pki.NewRoot(name, pki.Options{Now: func() time.Time { return now }})
	if err != nil {
		return nil, fmt.Errorf("make a root certificate: %w", err)
	}
	if err := makePrivate(filepath.Dir(files.Key)); err != nil {
		return nil, err
	}
	if err := root.WriteFiles(files.Cert, files.Key, true); err != nil {
		return nil, fmt.Errorf("make a root certificate: %w", err)
	}
	log.Info("root certificate made; devices must trust it", "file", files.Cert)
	return root, nil
}

// checkEvery is how often certificates are judged. After the clock was set, it is
// soon.
const checkEvery = 30 * time.Second

// run keeps the certificate fresh until ctx ends.
func (c *certificate) run(ctx context.Context) {
	watched := make(chan struct{})
	go func() { defer close(watched); c.Watch(ctx, c.log) }()
	defer func() { <-watched }()
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for {
		c.warn()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.renew()
		}
	}
}

// renew exchanges a certificate of Sluice's own for the one it should be.
func (c *certificate) renew() {
	if c.issuer == nil {
		return
	}
	c.renewing.Lock()
	defer c.renewing.Unlock()
	pair, err := c.issuer.current()
	if err != nil {
		c.log.Error("server certificate not renewed", "err", err)
		return
	}
	if !pair.Leaf().Equal(c.Get().Leaf) {
		c.Set(pair.TLS())
	}
}

// warn says once a day that a certificate ends within two weeks, or has ended.
func (c *certificate) warn() {
	now := c.now()
	leaf := c.Get().Leaf
	left := leaf.NotAfter.Sub(now)
	if left > 14*24*time.Hour || now.Sub(c.warned).Abs() < 24*time.Hour {
		return
	}
	c.warned = now
	if left <= 0 {
		c.log.Error("the server certificate has expired: devices refuse it", "source", c.source, "expired", leaf.NotAfter)
		return
	}
	c.log.Warn("the server certificate expires soon", "source", c.source, "expires", leaf.NotAfter)
}
