package pki

import (
	"crypto"
	"crypto/x509"
	"fmt"
	"os"
	"time"
)

// ParseAuthority reads an authority that somebody brings: its certificate first,
// those above it in any order, with or without the root. It refuses what could
// not sign certificates that others accept, and says why. One that is not valid yet
// is not refused: it is the clock that is wrong, more often than not.
func ParseAuthority(certPEM, keyPEM []byte) (*Authority, error) {
	certs, err := ParseCertificates(certPEM)
	if err != nil {
		return nil, fmt.Errorf("pki: certificate: %w", err)
	}
	key, err := ParseKey(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("pki: key: %w", err)
	}
	a, err := newAuthority(certs, key)
	if err != nil {
		return nil, fmt.Errorf("pki: %w", err)
	}
	return a, nil
}

// ReadAuthority is [ParseAuthority] of two files; see there.
func ReadAuthority(certFile, keyFile string) (*Authority, error) {
	certs, key, err := readFiles(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	a, err := newAuthority(certs, key)
	if err != nil {
		return nil, fmt.Errorf("pki: %s: %w", certFile, err)
	}
	return a, nil
}

// ReadPair reads a chain, leaf first, and its key. It does not look at the
// clock: an expired certificate can be read, to be renewed for instance.
func ReadPair(certFile, keyFile string) (*Pair, error) {
	certs, key, err := readFiles(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	if err := checkKey(certs, key); err != nil {
		return nil, fmt.Errorf("pki: %s: %w", certFile, err)
	}
	chain, _, err := order(certs)
	if err != nil {
		return nil, fmt.Errorf("pki: %s: %w", certFile, err)
	}
	return &Pair{Chain: chain, Key: key}, nil
}

// ReadPool reads the certificates of a file as anchors of trust; one that has
// none is an error.
func ReadPool(file string) (*x509.CertPool, error) {
	certs, err := ReadCertificates(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for _, c := range certs {
		pool.AddCert(c)
	}
	return pool, nil
}

// ReadCertificates reads all certificates of a file, at least one.
func ReadCertificates(file string) ([]*x509.Certificate, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("pki: %w", err)
	}
	certs, err := ParseCertificates(text)
	if err != nil {
		return nil, fmt.Errorf("pki: %s: %w", file, err)
	}
	return certs, nil
}

// ReadKey reads the first private key of a file.
func ReadKey(file string) (crypto.Signer, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("pki: %w", err)
	}
	key, err := ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("pki: %s: %w", file, err)
	}
	return key, nil
}

func readFiles(certFile, keyFile string) ([]*x509.Certificate, crypto.Signer, error) {
	certs, err := ReadCertificates(certFile)
	if err != nil {
		return nil, nil, err
	}
	key, err := ReadKey(keyFile)
	return certs, key, err
}

func newAuthority(certs []*x509.Certificate, key crypto.Signer) (*Authority, error) {
	if err := checkKey(certs, key); err != nil {
		return nil, err
	}
	if err := checkCA(certs[0]); err != nil {
		return nil, err
	}
	chain, root, err := order(certs)
	if err != nil {
		return nil, err
	}
	for _, c := range certs {
		if err := checkExpired(c, time.Now()); err != nil {
			return nil, err
		}
	}
	return &Authority{chain: chain, root: root, key: key}, nil
}
