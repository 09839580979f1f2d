package pki

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// The types of PEM blocks that are read.
const (
	typeCertificate  = "CERTIFICATE"
	typeTrusted      = "TRUSTED CERTIFICATE" // OpenSSL's, with more behind the certificate
	typeKey          = "PRIVATE KEY"
	typeECKey        = "EC PRIVATE KEY"
	typeRSAKey       = "RSA PRIVATE KEY"
	typeEncryptedKey = "ENCRYPTED PRIVATE KEY"
)

// What can be wrong with files that somebody brings.
var (
	ErrNoCertificate = errors.New("there is no certificate in it")
	ErrNoKey         = errors.New("there is no private key in it")
	ErrEncryptedKey  = errors.New("the private key is encrypted")
	ErrKeyMismatch   = errors.New("the private key does not belong to the certificate")
	ErrNotCA         = errors.New("not an authority")
	ErrExpired       = errors.New("expired")
	ErrNotYetValid   = errors.New("not valid yet")
	ErrStray         = errors.New("a certificate does not belong to the chain")
	ErrBadName       = errors.New("not a name for a certificate")
)

// ParseCertificates reads all certificates of a PEM text; other blocks are
// passed over.
func ParseCertificates(text []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != typeCertificate {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(certs)+1, err)
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 {
		return nil, ErrNoCertificate
	}
	return certs, nil
}

// ParseKey reads the first private key of a PEM text: PKCS #8, SEC 1 or PKCS #1,
// not encrypted.
func ParseKey(text []byte) (crypto.Signer, error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == typeEncryptedKey || block.Headers["DEK-Info"] != "" {
			return nil, ErrEncryptedKey
		}
		key, err := parseKeyBlock(block)
		if err != nil {
			return nil, err
		}
		if key != nil {
			return key, nil
		}
	}
	return nil, ErrNoKey
}

// parseKeyBlock returns nil without an error for blocks that are no keys.
func parseKeyBlock(block *pem.Block) (crypto.Signer, error) {
	var key any
	var err error
	switch block.Type {
	case typeKey:
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case typeECKey:
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case typeRSAKey:
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of type %T cannot sign", key)
	}
	return signer, nil
}

// ParseAuthority reads an authority that somebody brings: its certificate first,
// those above it in any order, with or without the root. It refuses what could
// not sign certificates that others accept, and says why.
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
		if err := checkTime(c, time.Now()); err != nil {
			return nil, err
		}
	}
	return &Authority{chain: chain, root: root, key: key}, nil
}

// checkKey says which certificate the key belongs to, if not the first.
func checkKey(certs []*x509.Certificate, key crypto.Signer) error {
	at := slices.IndexFunc(certs, func(c *x509.Certificate) bool { return sameKey(c.PublicKey, key) })
	switch {
	case at == 0:
		return nil
	case at > 0:
		return fmt.Errorf("%w %q but to number %d, %q, which must come first",
			ErrKeyMismatch, commonName(certs[0]), at+1, commonName(certs[at]))
	}
	return fmt.Errorf("%w %q", ErrKeyMismatch, commonName(certs[0]))
}

// checkCA says why c cannot be an authority.
func checkCA(c *x509.Certificate) error {
	switch {
	case !c.BasicConstraintsValid || !c.IsCA:
		return fmt.Errorf("%w: %q has no CA:TRUE in its basic constraints", ErrNotCA, commonName(c))
	case c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0:
		return fmt.Errorf("%w: the key usage of %q does not permit signing certificates", ErrNotCA, commonName(c))
	}
	return nil
}

func checkTime(c *x509.Certificate, now time.Time) error {
	switch {
	case now.After(c.NotAfter):
		return fmt.Errorf("%q %w since %s", commonName(c), ErrExpired, c.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(c.NotBefore):
		return fmt.Errorf("%q is %w until %s", commonName(c), ErrNotYetValid, c.NotBefore.UTC().Format(time.RFC3339))
	}
	return nil
}

// order puts the certificates above the first in the order of signatures, and
// takes the root off unless it is the only one.
func order(certs []*x509.Certificate) (chain []*x509.Certificate, root *x509.Certificate, err error) {
	chain, rest := certs[:1:1], slices.Clone(certs[1:])
	for {
		top := chain[len(chain)-1]
		if isSelfSigned(top) {
			root = top
			break
		}
		at := slices.IndexFunc(rest, func(c *x509.Certificate) bool { return signedBy(top, c) })
		if at < 0 {
			break
		}
		chain = append(chain, rest[at])
		rest = slices.Delete(rest, at, at+1)
	}
	for _, c := range rest {
		if !slices.ContainsFunc(chain, c.Equal) {
			return nil, nil, fmt.Errorf("%w: nothing before it is signed by %q", ErrStray, commonName(c))
		}
	}
	if root != nil && len(chain) > 1 {
		chain = chain[:len(chain)-1]
	}
	return chain, root, nil
}

func isSelfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawIssuer, c.RawSubject) && c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

// signedBy reports whether issuer's key made c, whatever else issuer may do.
func signedBy(c, issuer *x509.Certificate) bool {
	return bytes.Equal(c.RawIssuer, issuer.RawSubject) &&
		issuer.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}
