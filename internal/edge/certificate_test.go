package edge

import (
	"bytes"
	"context"
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/edge/config"
	"sluice/internal/pki"
)

// authorities of a site: its root, and the CA of a gateway below.
type authorities struct {
	root, edge *pki.Authority
	files      config.KeyPair
}

func newAuthorities(t *testing.T, opt pki.Options) authorities {
	t.Helper()
	root, err := pki.NewRoot("Site root", opt)
	if err != nil {
		t.Fatal(err)
	}
	edge, err := root.Intermediate("edge CA", opt)
	if err != nil {
		t.Fatal(err)
	}
	a := authorities{root: root, edge: edge, files: keyPair(t.TempDir())}
	a.write(t)
	return a
}

func (a authorities) write(t *testing.T) {
	t.Helper()
	if err := a.edge.WriteFiles(a.files.Cert, a.files.Key, true); err != nil {
		t.Fatal(err)
	}
}

func keyPair(dir string) config.KeyPair {
	return config.KeyPair{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
}

func pool(pem []byte) *x509.CertPool {
	p := x509.NewCertPool()
	p.AppendCertsFromPEM(pem)
	return p
}

// verifies reports what a device that trusts roots would say.
func (c *certificate) verifies(roots *x509.CertPool, name string, at time.Time) error {
	chain := c.Get().Certificate
	intermediates := x509.NewCertPool()
	for _, der := range chain[1:] {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		intermediates.AddCert(cert)
	}
	_, err := c.Get().Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, Intermediates: intermediates, CurrentTime: at})
	return err
}

func quickConfig(t *testing.T) *config.Config {
	return &config.Config{HostName: "gateway.local", Names: []string{"gw", "10.0.0.7"}, DataDir: t.TempDir()}
}

func mustOpen(t *testing.T, cfg *config.Config) *certificate {
	t.Helper()
	c, err := openCertificate(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestWhichCertificateIsServed(t *testing.T) {
	site := newAuthorities(t, pki.Options{})
	own, err := site.root.Server([]string{"gateway.local", "gw", "10.0.0.7"}, pki.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ownFiles := keyPair(t.TempDir())
	if err := own.WriteFiles(ownFiles.Cert, ownFiles.Key, false); err != nil {
		t.Fatal(err)
	}
	siteRoot := pki.EncodeCertificates(site.root.Certificate())
	for _, tt := range []struct {
		name           string
		server, edgeCA config.KeyPair
		made           bool   // by Sluice, in the data directory
		trust          []byte // nil: of a root that Sluice made
	}{
		{name: "none configured", made: true},
		{name: "edge CA", edgeCA: site.files, made: true, trust: siteRoot},
		{name: "server certificate", server: ownFiles, trust: siteRoot},
		{name: "both", server: ownFiles, edgeCA: site.files, trust: siteRoot},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := quickConfig(t)
			cfg.Server, cfg.EdgeCA = tt.server, tt.edgeCA
			c := mustOpen(t, cfg)
			trust := tt.trust
			if trust == nil {
				trust = c.trust
				disk, err := os.ReadFile(filepath.Join(cfg.DataDir, "root.pem"))
				if err != nil || !bytes.Equal(disk, trust) {
					t.Errorf("root.pem: %v", err)
				}
			} else if c.trust != nil {
				t.Error("it asks devices to trust a root of its own")
			}
			for _, name := range []string{"gateway.local", "gw", "10.0.0.7"} {
				if err := c.verifies(pool(trust), name, time.Now()); err != nil {
					t.Error(err)
				}
			}
			if _, err := os.Stat(filepath.Join(cfg.DataDir, "certs", "server.pem")); (err == nil) != tt.made {
				t.Errorf("made: %v, want %v", err == nil, tt.made)
			}
			if again := mustOpen(t, cfg); !again.Get().Leaf.Equal(c.Get().Leaf) {
				t.Error("another certificate after a restart")
			}
		})
	}
}

func TestWhenACertificateIsMadeAnew(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, cfg *config.Config, site authorities)
		want   bool
	}{
		{"nothing", func(*testing.T, *config.Config, authorities) {}, false},
		{"a further name", func(_ *testing.T, cfg *config.Config, _ authorities) { cfg.Names = append(cfg.Names, "more") }, true},
		{"a name less", func(_ *testing.T, cfg *config.Config, _ authorities) { cfg.Names = cfg.Names[:1] }, true},
		{"a name twice", func(_ *testing.T, cfg *config.Config, _ authorities) { cfg.Names = append(cfg.Names, "gw") }, false},
		{"another host name", func(_ *testing.T, cfg *config.Config, _ authorities) { cfg.HostName = "other.local" }, true},
		{"another authority", func(t *testing.T, _ *config.Config, site authorities) {
			other := newAuthorities(t, pki.Options{})
			other.files = site.files
			other.write(t)
		}, true},
		{"the authority renewed with its key", func(t *testing.T, _ *config.Config, site authorities) {
			renewed, err := site.root.Intermediate("edge CA", pki.Options{Signer: site.edge.Key()})
			if err != nil {
				t.Fatal(err)
			}
			site.edge = renewed
			site.write(t)
		}, true},
		{"a key that is cut off", func(t *testing.T, cfg *config.Config, _ authorities) {
			if err := os.Truncate(filepath.Join(cfg.DataDir, "certs", "server-key.pem"), 20); err != nil {
				t.Fatal(err)
			}
		}, true},
		{"no authority any more", func(t *testing.T, _ *config.Config, site authorities) {
			if err := os.Remove(site.files.Key); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"no authority any more, and another name", func(t *testing.T, cfg *config.Config, site authorities) {
			if err := os.Remove(site.files.Key); err != nil {
				t.Fatal(err)
			}
			cfg.HostName = "other.local"
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			site, cfg := newAuthorities(t, pki.Options{}), quickConfig(t)
			cfg.EdgeCA = site.files
			before := mustOpen(t, cfg).Get().Leaf
			tt.change(t, cfg, site)
			if got := !mustOpen(t, cfg).Get().Leaf.Equal(before); got != tt.want {
				t.Errorf("another certificate: %v, want %v", got, tt.want)
			}
		})
	}
}

func TestRootWithoutItsKeyIsNotReplaced(t *testing.T) {
	cfg := quickConfig(t)
	mustOpen(t, cfg)
	if err := os.Remove(rootFiles(cfg).Key); err != nil {
		t.Fatal(err)
	}
	_, err := openCertificate(cfg, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), rootFiles(cfg).Cert) {
		t.Errorf("error %v, want one that names the root", err)
	}
}

// A bubble's clock begins in the year 2000, as a machine without a battery may.
func TestT3_CertificatesOfAClockThatWasNotSetAreRightWhenItIs(t *testing.T) {
	cfg := quickConfig(t)
	synctest.Test(t, func(t *testing.T) {
		c := mustOpen(t, cfg)
		for _, at := range []time.Time{clockFloor, clockFloor.AddDate(0, 11, 0)} {
			if err := c.verifies(pool(c.trust), "gateway.local", at); err != nil {
				t.Errorf("at %v: %v", at, err)
			}
		}
		if again := mustOpen(t, cfg); !again.Get().Leaf.Equal(c.Get().Leaf) {
			t.Error("another certificate while the clock is still not set")
		}
	})
}

// The clock of the wall jumps: it was set at last, or the machine was asleep.
func TestT8_CertificateIsRenewedInTimeOrAtOnceAfter(t *testing.T) {
	cfg := quickConfig(t)
	synctest.Test(t, func(t *testing.T) {
		var wall atomic.Int64
		wall.Store(clockFloor.Unix())
		c := mustOpen(t, cfg)
		c.now = func() time.Time { return time.Unix(wall.Load(), 0) }
		c.issuer.now = c.now
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); c.run(ctx) }()
		for _, step := range []struct {
			name    string
			days    int
			renewed bool
		}{
			{"the next day", 1, false},
			{"after seven months", 210, false},
			{"in the last third of its life", 60, true},
			{"long after its end", 800, true},
			{"the clock is set back", -1000, true},
		} {
			before := c.Get().Leaf
			wall.Add(int64(step.days) * 24 * 3600)
			time.Sleep(checkEvery + 1)
			synctest.Wait()
			if got := !c.Get().Leaf.Equal(before); got != step.renewed {
				t.Errorf("%s: renewed %v, want %v", step.name, got, step.renewed)
			}
			if leaf := c.Get().Leaf; c.now().After(leaf.NotAfter) || c.now().Before(leaf.NotBefore) {
				t.Errorf("%s: the certificate is for %v to %v", step.name, leaf.NotBefore, leaf.NotAfter)
			}
		}
		stop()
		<-done
	})
}

// An authority that cannot sign for longer must not be asked twice a minute.
func TestRenewalThatDoesNotHelpIsNotRepeatedAtOnce(t *testing.T) {
	cfg := quickConfig(t)
	mustOpen(t, cfg)
	c := mustOpen(t, cfg)
	if err := os.Remove(rootFiles(cfg).Key); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	c.issuer.log = slog.New(slog.NewTextHandler(&log, nil))
	now := time.Now().AddDate(2, 0, 0)
	c.issuer.now = func() time.Time { return now }
	before := c.Get().Leaf
	for range 120 {
		now = now.Add(checkEvery)
		c.renew()
	}
	if n := strings.Count(log.String(), "the old one is still used"); n != 1 {
		t.Errorf("%d attempts in an hour, want 1:\n%s", n, log.String())
	}
	if !c.Get().Leaf.Equal(before) {
		t.Error("another certificate from nowhere")
	}
}

func TestEndOfABroughtCertificateIsAnnouncedOnceADay(t *testing.T) {
	site := newAuthorities(t, pki.Options{})
	pair, err := site.root.Server([]string{"gateway.local"}, pki.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cfg := quickConfig(t)
	cfg.Server = keyPair(t.TempDir())
	if err := pair.WriteFiles(cfg.Server.Cert, cfg.Server.Key, false); err != nil {
		t.Fatal(err)
	}
	c := mustOpen(t, cfg)
	var log bytes.Buffer
	c.log = slog.New(slog.NewTextHandler(&log, nil))
	now := pair.Leaf().NotAfter.Add(-20 * 24 * time.Hour)
	c.now = func() time.Time { return now }
	for range 21 * 24 {
		c.warn()
		now = now.Add(time.Hour)
	}
	if n := strings.Count(log.String(), "expires soon"); n != 14 {
		t.Errorf("%d warnings in the last two weeks, want 14", n)
	}
	if n := strings.Count(log.String(), "has expired"); n != 1 {
		t.Errorf("%d errors on the first day after, want 1", n)
	}
}
