package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"math/big"
	"strings"
	"testing"
	"time"

	"sluice/iot"
)

// pair is a certificate and the key that it is for.
type pair struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issue makes a certificate that by signs, or, if by is nil, that signs itself.
func issue(t *testing.T, name string, by *pair, change func(*x509.Certificate)) pair {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(time.Hour),
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(c)
	}
	issuer := pair{c, k}
	if by != nil {
		issuer = *by
	}
	der, err := x509.CreateCertificate(rand.Reader, c, issuer.cert, &k.PublicKey, issuer.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return pair{cert, k}
}

func authority(c *x509.Certificate) {
	c.IsCA, c.BasicConstraintsValid, c.KeyUsage, c.ExtKeyUsage = true, true, x509.KeyUsageCertSign, nil
}

func chain(pairs ...pair) (certs []*x509.Certificate) {
	for _, p := range pairs {
		certs = append(certs, p.cert)
	}
	return certs
}

func TestS3_CASignedCertificates(t *testing.T) {
	root := issue(t, "root", nil, authority)
	middle := issue(t, "middle", &root, authority)
	foreign := issue(t, "foreign", nil, authority)
	good := issue(t, "dev", &middle, nil)
	many := make([]pair, 9)
	for i := range many {
		many[i] = middle
	}
	for _, tt := range []struct {
		name    string
		chain   []*x509.Certificate
		refusal string
	}{
		{"good", chain(good, middle), ""},
		{"with its root", chain(good, middle, root), ""},
		{"signed by the root itself", chain(issue(t, "dev", &root, nil)), ""},
		{"expired", chain(issue(t, "dev", &middle, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) }), middle), "valid from"},
		{"not yet valid", chain(issue(t, "dev", &middle, func(c *x509.Certificate) { c.NotBefore = now.Add(time.Second) }), middle), "valid from"},
		{"wrong authority", chain(issue(t, "dev", &foreign, nil), foreign), "its certificate"},
		{"for servers", chain(issue(t, "dev", &middle, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), middle), "its certificate"},
		{"another common name", chain(issue(t, "dev2", &middle, nil), middle), "common name"},
		{"common name in capitals", chain(issue(t, "DEV", &middle, nil), middle), "common name"},
		{"authority's flag", chain(issue(t, "dev", &middle, authority), middle), "of an authority"},
		{"chain of ten", chain(append([]pair{good}, many...)...), "more than"},
		{"self-signed with the right name", chain(issue(t, "dev", nil, nil)), "its certificate"},
		{"right leaf, wrong chain", chain(good, foreign), "its certificate"},
		{"right leaf, no chain", chain(good), "its certificate"},
		{"wrong order", chain(middle, good), "common name"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite()
			s.add("dev", func(r *iot.Registration) { r.Auth = iot.Authentication{Type: iot.AuthCA} })
			a := s.authenticator()
			pool := x509.NewCertPool()
			pool.AddCert(root.cert)
			a.Roots = func() *x509.CertPool { return pool }
			r, err := a.Authenticate(iot.Credentials{Identity: iot.DeviceIdentity("dev"), Certificates: tt.chain})
			check(t, err, tt.refusal)
			if err == nil && (r.Method != ByCA || !r.Expires.IsZero()) {
				t.Errorf("result %+v", r)
			}
		})
	}
}

func TestS3_WithoutAuthoritiesNothingIsCASigned(t *testing.T) {
	s := newSite()
	s.add("dev", func(r *iot.Registration) { r.Auth = iot.Authentication{Type: iot.AuthCA} })
	root := issue(t, "root", nil, authority)
	creds := iot.Credentials{Identity: iot.DeviceIdentity("dev"), Certificates: chain(issue(t, "dev", &root, nil))}
	for name, roots := range map[string]func() *x509.CertPool{"no function": nil, "no pool": func() *x509.CertPool { return nil }, "empty pool": x509.NewCertPool} {
		a := s.authenticator()
		a.Roots = roots
		if _, err := a.Authenticate(creds); iot.KindOf(err) != iot.Unauthorized || err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestS3_Thumbprints(t *testing.T) {
	cert := issue(t, "any name", nil, authority) // openssl req -x509 makes authorities
	expired := issue(t, "x", nil, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Minute) })
	one, two := sha1.Sum(cert.cert.Raw), sha256.Sum256(cert.cert.Raw)
	sha, long := hex.EncodeToString(one[:]), hex.EncodeToString(two[:])
	late := sha256.Sum256(expired.cert.Raw)
	off := two
	off[31] ^= 1
	for _, tt := range []struct {
		name, primary, secondary string
		offer                    pair
		refusal                  string
	}{
		{"SHA-1", sha, "", cert, ""},
		{"SHA-256", long, "", cert, ""},
		{"secondary, in capitals", strings.Repeat("0", 64), strings.ToUpper(long), cert, ""},
		{"with colons", colons(sha), "", cert, ""},
		{"one bit off", hex.EncodeToString(off[:]), "", cert, "not registered"},
		{"a prefix", long[:40], "", cert, "not registered"},
		{"none registered", "", "", cert, "not registered"},
		{"not hex", strings.Repeat("z", 64), "", cert, "not registered"},
		{"expired", hex.EncodeToString(late[:]), "", expired, "valid from"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite()
			s.add("dev", func(r *iot.Registration) {
				r.Auth = iot.Authentication{Type: iot.AuthSelfSigned, PrimaryThumbprint: tt.primary, SecondaryThumbprint: tt.secondary}
			})
			r, err := s.authenticator().Authenticate(iot.Credentials{Identity: iot.DeviceIdentity("dev"), Certificates: chain(tt.offer)})
			check(t, err, tt.refusal)
			if err == nil && r.Method != ByThumbprint {
				t.Errorf("result %+v", r)
			}
		})
	}
}

func colons(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i += 2 {
		if i > 0 {
			b.WriteByte(':')
		}
		b.WriteString(s[i : i+2])
	}
	return b.String()
}

func TestS3_CertificatesWhereTokensAreDue(t *testing.T) {
	a := newSite().authenticator()
	offer := chain(issue(t, "dev1", nil, nil))
	_, err := a.Authenticate(iot.Credentials{Identity: iot.DeviceIdentity("dev1"), Certificates: offer})
	check(t, err, "not for certificates")
	_, err = a.Authenticate(iot.Credentials{Identity: iot.ModuleIdentity("dev1", "m"), Certificates: offer})
	check(t, err, "modules authenticate with tokens")
}
