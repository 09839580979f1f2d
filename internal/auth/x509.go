package auth

import (
	"crypto/sha1" //nolint:gosec // IoT Hub registers SHA-1 thumbprints
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/hex"
	"strings"

	"sluice/iot"
)

// maxChain bounds the certificates of a client that are looked at.
const maxChain = 6

func (a *Authenticator) byCertificate(reg iot.Registration, chain []*x509.Certificate) (Result, error) {
	id, leaf := reg.Identity, chain[0]
	if id.IsModule() {
		return Result{}, deny(id, "modules authenticate with tokens, not certificates")
	}
	now := a.now()
	if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		return Result{}, deny(id, "its certificate is valid from %s to %s", leaf.NotBefore, leaf.NotAfter)
	}
	switch reg.Auth.Type {
	case iot.AuthSelfSigned:
		if !matchesThumbprint(leaf, reg.Auth.PrimaryThumbprint) && !matchesThumbprint(leaf, reg.Auth.SecondaryThumbprint) {
			return Result{}, deny(id, "its certificate has thumbprint %x (SHA-256), which is not registered", sha256.Sum256(leaf.Raw))
		}
		return Result{Registration: reg, Actor: id, Method: ByThumbprint}, nil
	case iot.AuthCA:
		if err := a.verifyChain(id, chain); err != nil {
			return Result{}, err
		}
		return Result{Registration: reg, Actor: id, Method: ByCA}, nil
	}
	return Result{}, deny(id, "it is registered for %s authentication, not for certificates", reg.Auth.Type)
}

func (a *Authenticator) verifyChain(id iot.Identity, chain []*x509.Certificate) error {
	leaf := chain[0]
	switch {
	case leaf.Subject.CommonName != id.Device:
		return deny(id, "its certificate has common name %q", leaf.Subject.CommonName)
	case leaf.IsCA:
		return deny(id, "its certificate is one of an authority")
	case len(chain) > maxChain:
		return deny(id, "its chain has %d certificates, more than %d", len(chain), maxChain)
	case a.Roots == nil:
		return deny(id, "no authority for device certificates is configured")
	}
	roots := a.Roots()
	if roots == nil {
		return deny(id, "no authority for device certificates is configured")
	}
	intermediates := x509.NewCertPool()
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots:         roots,
		Intermediates: intermediates,
		CurrentTime:   a.now(),
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return &iot.Error{Kind: iot.Unauthorized, Op: op, Identity: id, Detail: "its certificate", Err: err}
	}
	return nil
}

// matchesThumbprint compares with a registered thumbprint: SHA-1 or SHA-256 in
// hex, of either case, perhaps with colons.
func matchesThumbprint(cert *x509.Certificate, registered string) bool {
	want, err := hex.DecodeString(strings.ReplaceAll(registered, ":", ""))
	if err != nil {
		return false
	}
	switch len(want) {
	case sha1.Size:
		got := sha1.Sum(cert.Raw)
		return subtle.ConstantTimeCompare(got[:], want) == 1
	case sha256.Size:
		got := sha256.Sum256(cert.Raw)
		return subtle.ConstantTimeCompare(got[:], want) == 1
	}
	return false
}
