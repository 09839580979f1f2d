package pki

import (
	"crypto/x509"
	"path/filepath"
	"testing"
)

func TestAServerBelowAnEdgeCAIsTrustedByTheRootAlone(t *testing.T) {
	root, err := NewRoot("Site root", Options{})
	if err != nil {
		t.Fatal(err)
	}
	mid, err := root.Intermediate("Site intermediate", Options{})
	if err != nil {
		t.Fatal(err)
	}
	edge, err := mid.Intermediate("gw edge CA", Options{NoAuthorities: true})
	if err != nil {
		t.Fatal(err)
	}
	server, err := edge.Server([]string{"gw.local", "127.0.0.1"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(root.Certificate())
	for _, c := range server.Chain[1:] {
		between.AddCert(c)
	}
	for _, name := range []string{"gw.local", "127.0.0.1"} {
		opts := x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: name}
		if _, err := server.Leaf().Verify(opts); err != nil {
			t.Errorf("verify for %s: %v", name, err)
		}
	}
	dir := t.TempDir()
	c, k := filepath.Join(dir, "c", "a.pem"), filepath.Join(dir, "k", "a.pem")
	if err := edge.WriteFiles(c, k, false); err != nil {
		t.Fatal(err)
	}
	back, err := ReadAuthority(c, k)
	if err != nil {
		t.Fatal(err)
	}
	if len(back.Chain()) != 2 || back.Root() != nil {
		t.Errorf("read %d certificates and root %v", len(back.Chain()), back.Root())
	}
	if _, err := root.Device("pump-7", Options{Key: RSA2048}); err != nil {
		t.Error(err)
	}
}
