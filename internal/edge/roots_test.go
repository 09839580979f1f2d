package edge

import (
	"bytes"
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/edge/config"
	"sluice/internal/pki"
)

func TestTrustedAuthoritiesAreReadAgain(t *testing.T) {
	one, two := newAuthorities(t, pki.Options{}).root, newAuthorities(t, pki.Options{}).root
	file := filepath.Join(t.TempDir(), "trust.pem")
	write := func(text []byte) {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	knows := func(p *x509.CertPool, a *pki.Authority) bool {
		want := x509.NewCertPool()
		want.AddCert(a.Certificate())
		return p.Equal(want)
	}
	write(one.CertPEM())
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		r, err := openRoots(false, slog.New(slog.NewTextHandler(&log, nil)), "", file)
		if err != nil {
			t.Fatal(err)
		}
		before := r.current()
		if !knows(before, one) {
			t.Error("the first authority is not trusted")
		}
		time.Sleep(lookEvery)
		if r.current() != before {
			t.Error("another pool although nothing changed")
		}
		write([]byte("half a cert"))
		for range 5 {
			time.Sleep(lookEvery)
			if !knows(r.current(), one) {
				t.Error("a file that cannot be read took the trust away")
			}
		}
		if n := strings.Count(log.String(), "not read again"); n != 1 {
			t.Errorf("said %d times, want once", n)
		}
		write(two.CertPEM())
		time.Sleep(lookEvery)
		if !knows(r.current(), two) {
			t.Error("the new authority is not trusted")
		}
	})
}

func TestNoAuthoritiesIsNoPool(t *testing.T) {
	r, err := openRoots(false, slog.New(slog.DiscardHandler), "", "")
	if err != nil || r.current() != nil {
		t.Errorf("%v, %v", r.current(), err)
	}
}

// The hub's certificate gets another authority: the gateway must not need a
// restart.
func TestS13_HubIsTrustedByTheAuthoritiesOfNow(t *testing.T) {
	s := newSite(t, "pump1")
	stranger := newAuthorities(t, pki.Options{}).root
	trust := filepath.Join(s.dir, "trust.pem")
	s.write(trust, stranger.CertPEM())
	e := s.open(func(c *config.Config) { c.Hub.CA = trust })
	s.run(e.Run)
	creds := e.probe(t)
	if err := creds(); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("a hub of an unknown authority: %v", err)
	}
	s.write(trust, s.hub.RootPEM())
	late := time.After(patience)
	for creds() != nil {
		select {
		case <-time.After(100 * time.Millisecond):
		case <-late:
			t.Fatal("not trusted although the file has the authority")
		}
	}
	d := s.connect("pump1", e.MQTTAddr().String(), nil)
	d.send("at last")
	s.expect([]string{"at last"})
}
