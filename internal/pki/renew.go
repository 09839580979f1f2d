package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"time"
)

// Renew makes a certificate of a's again: with the subject, names, usages and
// path length of old and a life as long. The key is [Options.Signer], which may
// be the old one, or a new one of type [Options.Key]; the options of the subject have
// no effect. The authority may have another key than when old was made, but has
// the name. Extensions that this package does not know are not taken along.
func (a *Authority) Renew(old *x509.Certificate, opt Options) (*Pair, error) {
	if !bytes.Equal(old.RawIssuer, a.Certificate().RawSubject) {
		return nil, fmt.Errorf("pki: renew %q: it is signed by %q, and not by this %q",
			commonName(old), issuerName(old), commonName(a.Certificate()))
	}
	p, err := a.issue(renewal(old), lifeOf(old), opt)
	if err != nil {
		return nil, fmt.Errorf("pki: renew %q: %w", commonName(old), err)
	}
	return p, nil
}

// RenewSelfSigned is [Authority.Renew] for roots and for devices known by their
// thumbprints, which change. Whoever trusts a root goes on to do so until the
// old one's end if the key is the same, and has to be given the new one before.
func RenewSelfSigned(old *x509.Certificate, opt Options) (*Pair, error) {
	if !IsSelfSigned(old) {
		return nil, fmt.Errorf("pki: renew %q: it is signed by %q, not by itself", commonName(old), issuerName(old))
	}
	p, err := selfSign(renewal(old), lifeOf(old), opt)
	if err != nil {
		return nil, fmt.Errorf("pki: renew %q: %w", commonName(old), err)
	}
	return p, nil
}

// renewal is a template of what stays the same.
func renewal(old *x509.Certificate) *x509.Certificate {
	return &x509.Certificate{
		RawSubject:         old.RawSubject,
		Subject:            old.Subject,
		IsCA:               old.IsCA,
		MaxPathLen:         old.MaxPathLen,
		MaxPathLenZero:     old.MaxPathLenZero,
		KeyUsage:           old.KeyUsage,
		ExtKeyUsage:        old.ExtKeyUsage,
		UnknownExtKeyUsage: old.UnknownExtKeyUsage,
		DNSNames:           old.DNSNames,
		IPAddresses:        old.IPAddresses,
		EmailAddresses:     old.EmailAddresses,
		URIs:               old.URIs,
	}
}

// lifeOf is the time that a certificate was made for.
func lifeOf(c *x509.Certificate) time.Duration {
	return max(c.NotAfter.Sub(c.NotBefore)-Backdate, time.Minute)
}

// KeyTypeOf returns the type of a public key, and false if it is of another kind
// than [KeyTypes] lists.
func KeyTypeOf(pub crypto.PublicKey) (KeyType, bool) {
	bits := 0
	switch pub := pub.(type) {
	case *ecdsa.PublicKey:
		bits = pub.Curve.Params().BitSize
	case *rsa.PublicKey:
		bits = pub.N.BitLen()
	}
	k, ok := map[int]KeyType{256: P256, 384: P384, 521: P521, 2048: RSA2048, 3072: RSA3072, 4096: RSA4096}[bits]
	return k, ok
}
