package tlsx

import (
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// A Certificate is a chain and its key that may be exchanged while servers use
// it. It is safe for concurrent use; make one with [NewCertificate] or
// [LoadCertificate].
type Certificate struct {
	current atomic.Pointer[tls.Certificate]
	files   *files // nil if it does not come from files

	mu   sync.Mutex // one Reload at a time
	seen stamp      // of the files that were read last, whatever became of it
}

// ErrNoFiles is returned by [Certificate.Reload] of a certificate that did not
// come from files.
var ErrNoFiles = errors.New("tlsx: the certificate does not come from files")

// NewCertificate holds c until [Certificate.Set].
func NewCertificate(c tls.Certificate) *Certificate {
	held := new(Certificate)
	held.Set(c)
	return held
}

// LoadCertificate reads a PEM chain, leaf first, and its key, and remembers the
// files for [Certificate.Watch] and [Certificate.Reload].
func LoadCertificate(certFile, keyFile string) (*Certificate, error) {
	c := &Certificate{files: &files{cert: certFile, key: keyFile}}
	if _, err := c.Reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// Set exchanges the certificate. Its Leaf is parsed here if it is not set.
func (c *Certificate) Set(cert tls.Certificate) {
	if cert.Leaf == nil {
		cert.Leaf = leafOf(cert)
	}
	c.current.Store(&cert)
}

// Get returns the certificate of now. It must not be changed.
func (c *Certificate) Get() *tls.Certificate { return c.current.Load() }

// Reload reads the files again, and reports whether they held another
// certificate than the one of now. On an error the certificate stays.
func (c *Certificate) Reload() (changed bool, err error) {
	if c.files == nil {
		return false, ErrNoFiles
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = c.files.stamp()
	cert, err := c.files.read()
	if err != nil {
		return false, fmt.Errorf("tlsx: %w", err)
	}
	if old := c.Get(); old != nil && sameChain(*old, cert) {
		return false, nil
	}
	c.Set(cert)
	return true, nil
}
