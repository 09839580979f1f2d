package pki

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// An Authority is a certificate that may sign others, with its key and what is
// known of the chain above it.
type Authority struct {
	chain []*x509.Certificate // itself first, without the root unless it is the root
	root  *x509.Certificate   // nil if it is not known
	key   crypto.Signer
}

// NewRoot makes a self-signed authority called name.
func NewRoot(name string, opt Options) (*Authority, error) {
	p, err := selfSign(authorityTemplate(name), RootLife, opt)
	if err != nil {
		return nil, fmt.Errorf("pki: make root %q: %w", name, err)
	}
	return &Authority{chain: p.Chain, root: p.Chain[0], key: p.Key}, nil
}

// Intermediate makes an authority below a, such as an edge CA. It may itself
// have authorities below it unless [Options.NoAuthorities] is set or a's path
// length ends there.
func (a *Authority) Intermediate(name string, opt Options) (*Authority, error) {
	t := authorityTemplate(name)
	if err := a.limitPath(t, opt.NoAuthorities); err != nil {
		return nil, fmt.Errorf("pki: make authority %q: %w", name, err)
	}
	p, err := a.issue(t, AuthorityLife, opt)
	if err != nil {
		return nil, fmt.Errorf("pki: make authority %q: %w", name, err)
	}
	return &Authority{chain: p.Chain, root: a.root, key: p.Key}, nil
}

// limitPath gives t the path length that those above leave it.
func (a *Authority) limitPath(t *x509.Certificate, last bool) error {
	left := math.MaxInt
	for i, c := range a.known() {
		if n, limited := pathLimit(c); limited {
			left = min(left, n-i)
		}
	}
	switch {
	case left <= 0:
		return fmt.Errorf("%w: %q", ErrPathLength, commonName(a.Certificate()))
	case last:
		t.MaxPathLenZero = true
	case left < math.MaxInt:
		t.MaxPathLen, t.MaxPathLenZero = left-1, left == 1
	}
	return nil
}

// pathLimit is how many authorities may follow below c, and whether c says so.
func pathLimit(c *x509.Certificate) (n int, limited bool) {
	if c.MaxPathLen > 0 || (c.MaxPathLen == 0 && c.MaxPathLenZero) {
		return c.MaxPathLen, true
	}
	return 0, false
}

// Server makes a certificate for a server that is reached by these DNS names and
// IP addresses. The first is also its common name, if it fits in one.
func (a *Authority) Server(names []string, opt Options) (*Pair, error) {
	p, err := a.server(names, opt)
	if err != nil {
		return nil, fmt.Errorf("pki: make server certificate: %w", err)
	}
	return p, nil
}

func (a *Authority) server(names []string, opt Options) (*Pair, error) {
	t := &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	first, err := addNames(t, names)
	if err != nil {
		return nil, err
	}
	// A longer name lives in the alternative names alone, where clients look.
	if len(first) <= maxCommonName {
		t.Subject.CommonName = first
	}
	return a.issue(t, ServerLife, opt)
}

// Device makes a client certificate whose common name is the device's id, which
// is how a hub knows the device. The id has at most 64 characters then.
func (a *Authority) Device(id string, opt Options) (*Pair, error) {
	p, err := a.issue(deviceTemplate(id), DeviceLife, opt)
	if err != nil {
		return nil, fmt.Errorf("pki: make certificate of device %q: %w", id, err)
	}
	return p, nil
}

// SelfSigned makes a client certificate that is known by its thumbprints. An id
// of more than 64 characters is cut in the common name, which nobody compares.
func SelfSigned(id string, opt Options) (*Pair, error) {
	cn := id[:min(len(id), maxCommonName)]
	p, err := selfSign(deviceTemplate(cn), DeviceLife, opt)
	if err != nil {
		return nil, fmt.Errorf("pki: make certificate of device %q: %w", id, err)
	}
	return p, nil
}

// selfSign completes t, makes a key for it if need be, and signs with that.
func selfSign(t *x509.Certificate, life time.Duration, opt Options) (*Pair, error) {
	key, err := opt.prepare(t, life)
	if err != nil {
		return nil, err
	}
	if err := checkCommonName(t.Subject.CommonName); err != nil {
		return nil, err
	}
	t.AuthorityKeyId = t.SubjectKeyId
	cert, err := sign(t, t, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &Pair{Chain: []*x509.Certificate{cert}, Key: key}, nil
}

// issue completes t, makes a key for it if need be, and signs.
func (a *Authority) issue(t *x509.Certificate, life time.Duration, opt Options) (*Pair, error) {
	now, err := a.signingTime(opt.now())
	if err != nil {
		return nil, err
	}
	opt.Now = func() time.Time { return now }
	key, err := opt.prepare(t, life)
	if err != nil {
		return nil, err
	}
	a.bound(t)
	if err := a.checkSubject(t); err != nil {
		return nil, err
	}
	cert, err := sign(t, a.Certificate(), key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	chain := []*x509.Certificate{cert}
	if !a.isRoot() {
		chain = append(chain, a.chain...)
	}
	return &Pair{Chain: chain, Key: key}, nil
}

// signingTime is now, unless the clock is certainly late: no certificate is made
// before its issuer is. A machine without a battery starts in 1970, and what it
// makes then is to be right when its clock is.
func (a *Authority) signingTime(now time.Time) (time.Time, error) {
	for _, c := range a.known() {
		if now.Before(c.NotBefore) {
			now = c.NotBefore
		}
	}
	for _, c := range a.known() {
		if err := checkExpired(c, now); err != nil {
			return now, err
		}
	}
	return now, nil
}

// bound keeps t within the life of everything above it.
func (a *Authority) bound(t *x509.Certificate) {
	for _, c := range a.known() {
		if t.NotAfter.After(c.NotAfter) {
			t.NotAfter = c.NotAfter
		}
		if t.NotBefore.Before(c.NotBefore) {
			t.NotBefore = c.NotBefore
		}
	}
}

func (a *Authority) checkSubject(t *x509.Certificate) error {
	if t.Subject.CommonName != "" || len(t.DNSNames)+len(t.IPAddresses) == 0 {
		if err := checkCommonName(t.Subject.CommonName); err != nil {
			return err
		}
	}
	for _, c := range a.known() {
		if t.Subject.String() == c.Subject.String() {
			return fmt.Errorf("%w: %q", ErrSameName, commonName(c))
		}
	}
	return nil
}

// known is a's chain with the root, as far as it is known.
func (a *Authority) known() []*x509.Certificate {
	if a.root == nil || a.isRoot() {
		return a.chain
	}
	return append(slices.Clone(a.chain), a.root)
}

func (a *Authority) isRoot() bool { return a.root != nil && a.root.Equal(a.chain[0]) }

// Certificate returns the authority's own certificate.
func (a *Authority) Certificate() *x509.Certificate { return a.chain[0] }

// Chain returns the authority's certificate and those above it, without the
// root unless a is the root. It must not be changed.
func (a *Authority) Chain() []*x509.Certificate { return a.chain }

// Root returns the certificate at the top, or nil if a was read from a file
// that does not have it.
func (a *Authority) Root() *x509.Certificate { return a.root }

// Key returns the authority's private key.
func (a *Authority) Key() crypto.Signer { return a.key }

// CertPEM returns [Authority.Chain] as PEM.
func (a *Authority) CertPEM() []byte { return EncodeCertificates(a.chain...) }

// KeyPEM returns the key as PEM, in PKCS #8.
func (a *Authority) KeyPEM() ([]byte, error) { return encodeKey(a.key) }

// WriteFiles writes the chain and the key; see [Pair.WriteFiles].
func (a *Authority) WriteFiles(certPath, keyPath string, force bool) error {
	return (&Pair{Chain: a.chain, Key: a.key}).WriteFiles(certPath, keyPath, force)
}

// The refusals of authorities.
var (
	// ErrPathLength is the answer to an authority below one that may have none.
	ErrPathLength = errors.New("its path length permits no authority below it")
	// ErrSameName is the answer to a certificate that is called as an authority
	// above it, which verifiers would take for a self-signed one or for a loop.
	ErrSameName = errors.New("a certificate cannot have the name of an authority above it")
)
