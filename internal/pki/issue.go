package pki

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"time"
)

// The lives of certificates whose Options do not say.
const (
	RootLife      = 10 * 365 * 24 * time.Hour
	AuthorityLife = 5 * 365 * 24 * time.Hour
	ServerLife    = 365 * 24 * time.Hour
	DeviceLife    = 365 * 24 * time.Hour
)

// Backdate is how long before its making a certificate begins to be valid, for
// devices whose clocks are late.
const Backdate = time.Hour

// Options are what may differ between certificates of one kind. The zero value
// is right for most.
type Options struct {
	// Key is the kind of key to make: P256. It is not looked at with Signer.
	Key KeyType
	// Signer is a key to use again, as renewals do; nil makes a new one.
	Signer crypto.Signer
	// Valid is the time from now to the end: [RootLife], [AuthorityLife],
	// [ServerLife] or [DeviceLife]. The issuer's end comes first if it is earlier.
	Valid time.Duration
	// Now is the clock: time.Now.
	Now func() time.Time
	// CommonName takes the place of the one that the kind of certificate has.
	CommonName string
	// Organization is the O of the subject, left out if empty.
	Organization string
	// NoAuthorities makes an intermediate that cannot have authorities below it,
	// only servers and devices: a path length of 0.
	NoAuthorities bool
}

func (o Options) now() time.Time {
	if o.Now == nil {
		return time.Now()
	}
	return o.Now()
}

func (o Options) signer() (crypto.Signer, error) {
	if o.Signer != nil {
		return o.Signer, nil
	}
	return o.Key.generate()
}

// prepare finds the key for a template and completes it.
func (o Options) prepare(t *x509.Certificate, life time.Duration) (crypto.Signer, error) {
	key, err := o.signer()
	if err != nil {
		return nil, err
	}
	if !t.IsCA {
		t.KeyUsage = leafUsage(key.Public())
	}
	return key, o.fill(t, key.Public(), life)
}

// fill completes a template: serial number, subject, times and key identifier.
func (o Options) fill(t *x509.Certificate, pub crypto.PublicKey, life time.Duration) error {
	serial, err := newSerial()
	if err != nil {
		return err
	}
	if o.Valid < 0 {
		return fmt.Errorf("a life of %v is over before it begins", o.Valid)
	}
	if o.Valid > 0 {
		life = o.Valid
	}
	if o.CommonName != "" {
		t.Subject.CommonName = o.CommonName
	}
	if o.Organization != "" {
		t.Subject.Organization = []string{o.Organization}
	}
	now := o.now().UTC().Truncate(time.Second)
	t.SerialNumber = serial
	t.NotBefore = now.Add(-Backdate)
	t.NotAfter = now.Add(life)
	t.BasicConstraintsValid = true
	t.SubjectKeyId, err = keyID(pub)
	return err
}

// newSerial returns a positive number of 128 random bits [RFC 5280 4.1.2.2].
func newSerial() (*big.Int, error) {
	b := make([]byte, 16)
	for {
		if _, err := rand.Read(b); err != nil {
			return nil, err
		}
		if n := new(big.Int).SetBytes(b); n.Sign() > 0 {
			return n, nil
		}
	}
}

// keyID is the leftmost 160 bits of the SHA-256 of the key [RFC 7093 2].
func keyID(pub crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(der)
	return sum[:20], nil
}

// leafUsage is what a key does in handshakes: it signs, and an RSA key also
// decrypts in those of TLS 1.2 without forward secrecy.
func leafUsage(pub crypto.PublicKey) x509.KeyUsage {
	if _, ok := pub.(*rsa.PublicKey); ok {
		return x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment
	}
	return x509.KeyUsageDigitalSignature
}

func authorityTemplate(name string) *x509.Certificate {
	return &x509.Certificate{
		Subject:  pkix.Name{CommonName: name},
		IsCA:     true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

func deviceTemplate(id string) *x509.Certificate {
	return &x509.Certificate{
		Subject:     pkix.Name{CommonName: id},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
}

// sign makes the certificate that t describes, for pub, under parent.
func sign(t, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, t, parent, pub, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}
