package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"sluice/internal/pki"
	"sluice/internal/tlsx"
)

// certificate is what the hub shows its clients, and how it is kept fresh.
type certificate struct {
	*tlsx.Certificate
	names     []string
	authority *pki.Authority // nil for one that was brought
	rootPEM   []byte         // what clients must trust; nil for one that was brought
}

// openCertificate takes the certificate that cfg names, or makes one.
func openCertificate(cfg *Config) (*certificate, error) {
	if cfg.Cert != "" {
		c, err := tlsx.LoadCertificate(cfg.Cert, cfg.Key)
		if err != nil {
			return nil, fmt.Errorf("hub: certificate: %w", err)
		}
		return &certificate{Certificate: c}, nil
	}
	authority, err := ownAuthority(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("hub: certificate authority: %w", err)
	}
	c := &certificate{names: cfg.allNames(), authority: authority, rootPEM: authority.CertPEM()}
	pair, err := authority.Server(c.names, pki.Options{})
	if err != nil {
		return nil, fmt.Errorf("hub: certificate: %w", err)
	}
	c.Certificate = tlsx.NewCertificate(pair.TLS())
	return c, nil
}

// ownAuthority reads the directory's authority, or makes it. Half of one is an
// error: devices may trust it already, so it is not replaced.
func ownAuthority(dir string) (*pki.Authority, error) {
	cert, key := filepath.Join(dir, "root.pem"), filepath.Join(dir, "root-key.pem")
	_, certErr := os.Stat(cert)
	_, keyErr := os.Stat(key)
	if !errors.Is(certErr, fs.ErrNotExist) || !errors.Is(keyErr, fs.ErrNotExist) {
		return pki.ReadAuthority(cert, key)
	}
	root, err := pki.NewRoot("Sluice hub root", pki.Options{})
	if err != nil {
		return nil, err
	}
	return root, root.WriteFiles(cert, key, false)
}

// keep renews the certificate, or follows its files, until ctx ends.
func (c *certificate) keep(ctx context.Context, cfg *Config) {
	if c.authority == nil {
		c.Watch(ctx, cfg.Log)
		return
	}
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		leaf := c.Get().Leaf
		if leaf.NotAfter.Sub(cfg.Now()) > leaf.NotAfter.Sub(leaf.NotBefore)/3 {
			continue
		}
		pair, err := c.authority.Server(c.names, pki.Options{})
		if err != nil {
			cfg.Log.Error("the hub's certificate could not be renewed", "expires", leaf.NotAfter, "err", err)
			continue
		}
		c.Set(pair.TLS())
		cfg.Log.Info("the hub's certificate was renewed", "expires", pair.Leaf().NotAfter)
	}
}
