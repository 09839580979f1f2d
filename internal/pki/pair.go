package pki

import (
	"crypto"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
)

// A Pair is a certificate with the chain above it, and its private key.
type Pair struct {
	Chain []*x509.Certificate // leaf first, without the root
	Key   crypto.Signer
}

// Leaf returns the certificate that the key belongs to.
func (p *Pair) Leaf() *x509.Certificate { return p.Chain[0] }

// TLS returns the pair as crypto/tls wants it.
func (p *Pair) TLS() tls.Certificate {
	c := tls.Certificate{PrivateKey: p.Key, Leaf: p.Chain[0]}
	for _, cert := range p.Chain {
		c.Certificate = append(c.Certificate, cert.Raw)
	}
	return c
}

// CertPEM returns the chain as PEM, leaf first.
func (p *Pair) CertPEM() []byte { return EncodeCertificates(p.Chain...) }

// KeyPEM returns the key as PEM, in PKCS #8.
func (p *Pair) KeyPEM() ([]byte, error) { return encodeKey(p.Key) }

// EncodeCertificates returns certificates as PEM, in their order.
func EncodeCertificates(certs ...*x509.Certificate) []byte {
	var out []byte
	for _, c := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: typeCertificate, Bytes: c.Raw})...)
	}
	return out
}

func encodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("pki: encode key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: typeKey, Bytes: der}), nil
}

// Thumbprints returns the digests of a certificate by which an IoT hub knows a
// self-signed one: 40 and 64 hexadecimal digits in upper case.
func Thumbprints(c *x509.Certificate) (sha1Hex, sha256Hex string) {
	return fmt.Sprintf("%X", sha1.Sum(c.Raw)), fmt.Sprintf("%X", sha256.Sum256(c.Raw))
}
