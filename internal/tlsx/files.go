package tlsx

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"slices"
	"time"
)

// files are where a certificate comes from.
type files struct{ cert, key string }

// read returns the pair. An error names the file that is wrong.
func (f *files) read() (tls.Certificate, error) {
	certPEM, err := os.ReadFile(f.cert)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("read certificate: %w", err)
	}
	keyPEM, err := os.ReadFile(f.key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("read private key: %w", err)
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certificate %s with key %s: %w", f.cert, f.key, err)
	}
	return cert, nil
}

// A stamp tells whether files have changed without reading them.
type stamp [2]struct {
	size int64
	mod  time.Time
}

// stamp follows symbolic links, which is how some tools exchange certificates. A
// file that is not there has a zero stamp.
func (f *files) stamp() stamp {
	var s stamp
	for i, name := range []string{f.cert, f.key} {
		if info, err := os.Stat(name); err == nil {
			s[i].size, s[i].mod = info.Size(), info.ModTime()
		}
	}
	return s
}

// leafOf returns nil if there is none, which the handshake reports.
func leafOf(cert tls.Certificate) *x509.Certificate {
	if len(cert.Certificate) == 0 {
		return nil
	}
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		return nil
	}
	return leaf
}

func sameChain(a, b tls.Certificate) bool {
	return slices.EqualFunc(a.Certificate, b.Certificate, bytes.Equal)
}
