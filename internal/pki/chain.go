package pki

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"fmt"
	"slices"
	"time"
)

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

func checkExpired(c *x509.Certificate, now time.Time) error {
	if now.After(c.NotAfter) {
		return fmt.Errorf("%q %w since %s", commonName(c), ErrExpired, c.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}

// order puts the certificates above the first in the order of signatures, and
// takes the root off unless it is the only one.
func order(certs []*x509.Certificate) (chain []*x509.Certificate, root *x509.Certificate, err error) {
	chain, rest := certs[:1:1], slices.Clone(certs[1:])
	for {
		top := chain[len(chain)-1]
		if IsSelfSigned(top) {
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

// IsSelfSigned reports whether c was signed with its own key, as roots are, and
// devices that are known by their thumbprints.
func IsSelfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawIssuer, c.RawSubject) && c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

// signedBy reports whether issuer's key made c, whatever else issuer may do.
func signedBy(c, issuer *x509.Certificate) bool {
	return bytes.Equal(c.RawIssuer, issuer.RawSubject) &&
		issuer.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}
