package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func TestKeysAreReadInEveryForm(t *testing.T) {
	ec := must(P256.generate()).(*ecdsa.PrivateKey)
	rs := must(RSA2048.generate()).(*rsa.PrivateKey)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	tests := []struct {
		name string
		text []byte
		want crypto.Signer
	}{
		{"PKCS #8, EC", block(typeKey, must(x509.MarshalPKCS8PrivateKey(ec))), ec},
		{"PKCS #8, RSA", block(typeKey, must(x509.MarshalPKCS8PrivateKey(rs))), rs},
		{"PKCS #8, Ed25519", block(typeKey, must(x509.MarshalPKCS8PrivateKey(ed))), ed},
		{"SEC 1", block(typeECKey, must(x509.MarshalECPrivateKey(ec))), ec},
		{"SEC 1 behind its parameters, as OpenSSL writes it",
			append(block("EC PARAMETERS", []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7}), block(typeECKey, must(x509.MarshalECPrivateKey(ec)))...), ec},
		{"PKCS #1", block(typeRSAKey, x509.MarshalPKCS1PrivateKey(rs)), rs},
		{"behind a certificate and text", append([]byte("subject=x\n"), append(must(SelfSigned("x", Options{})).CertPEM(),
			block(typeRSAKey, x509.MarshalPKCS1PrivateKey(rs))...)...), rs},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseKey(tt.text)
			if err != nil || !sameKey(tt.want.Public(), got) {
				t.Errorf("ParseKey = %T, %v", got, err)
			}
		})
	}
}

func TestKeysThatCannotBeUsedSayWhy(t *testing.T) {
	dek := pem.EncodeToMemory(&pem.Block{Type: typeRSAKey, Bytes: []byte("x"),
		Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}})
	agree := block(typeKey, must(x509.MarshalPKCS8PrivateKey(must(ecdh.X25519().GenerateKey(rand.Reader)))))
	for name, text := range map[string][]byte{"PKCS #8": block(typeEncryptedKey, []byte("x")), "PKCS #1": dek} {
		if _, err := ParseKey(text); !errors.Is(err, ErrEncryptedKey) {
			t.Errorf("an encrypted %s key: %v", name, err)
		}
	}
	for name, text := range map[string][]byte{"empty": nil, "text": []byte("hello"), "certificate": must(SelfSigned("x", Options{})).CertPEM()} {
		if _, err := ParseKey(text); !errors.Is(err, ErrNoKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, text := range map[string][]byte{"broken": block(typeKey, []byte("x")), "key agreement": agree} {
		if _, err := ParseKey(text); err == nil || errors.Is(err, ErrNoKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// signAny makes what this package refuses to make.
func signAny(t *testing.T, by *Authority, change func(*x509.Certificate)) *Pair {
	t.Helper()
	key := must(P256.generate())
	c := authorityTemplate("Odd")
	if err := (Options{}).fill(c, key.Public(), time.Hour); err != nil {
		t.Fatal(err)
	}
	change(c)
	cert := must(sign(c, by.Certificate(), key.Public(), by.key))
	return &Pair{Chain: append([]*x509.Certificate{cert}, by.chain...), Key: key}
}

func TestAnAuthorityThatSomebodyBringsIsReadOrRefusedWithTheReason(t *testing.T) {
	s := newSite()
	key := func(k crypto.Signer) []byte { return must(encodeKey(k)) }
	full := append(s.edge.CertPEM(), s.root.CertPEM()...)
	expired := must(NewRoot("Old root", Options{Now: at(time.Now().Add(-20 * 365 * 24 * time.Hour))}))
	future := must(s.root.Renew(s.mid.Certificate(), Options{Signer: s.mid.key, Now: at(time.Now().Add(48 * time.Hour))}))
	noSign := signAny(t, s.root, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature })
	tests := []struct {
		name      string
		cert, key []byte
		want      error
		says      string
	}{
		{"root", s.root.CertPEM(), key(s.root.key), nil, ""},
		{"chain without the root", s.edge.CertPEM(), key(s.edge.key), nil, ""},
		{"chain with the root", full, key(s.edge.key), nil, ""},
		{"not valid yet, to a clock that is late", future.CertPEM(), key(s.mid.key), nil, ""},
		{"chain in another order", EncodeCertificates(s.edge.Certificate(), s.root.Certificate(), s.mid.Certificate()), key(s.edge.key), nil, ""},
		{"no certificate", []byte("hello"), key(s.root.key), ErrNoCertificate, ""},
		{"no key", s.root.CertPEM(), s.root.CertPEM(), ErrNoKey, ""},
		{"encrypted key", s.root.CertPEM(), block(typeEncryptedKey, []byte("x")), ErrEncryptedKey, ""},
		{"another's key", s.root.CertPEM(), key(s.edge.key), ErrKeyMismatch, `"Site root"`},
		{"key of another in the file", full, key(s.mid.key), ErrKeyMismatch, `number 2, "Site intermediate", which must come first`},
		{"a device", s.device.CertPEM(), key(s.device.Key), ErrNotCA, "basic constraints"},
		{"an authority that may not sign", noSign.CertPEM(), key(noSign.Key), ErrNotCA, "key usage"},
		{"expired", expired.CertPEM(), key(expired.key), ErrExpired, "Old root"},
		{"a stranger in the chain", append(s.edge.CertPEM(), s.device.CertPEM()...), key(s.edge.key), ErrStray, `"pump-7"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, err := ParseAuthority(tt.cert, tt.key)
			if !errors.Is(err, tt.want) || (err != nil && !strings.Contains(err.Error(), tt.says)) {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
			if err != nil {
				return
			}
			if p := must(a.Server([]string{"gw"}, Options{})); Verify(p.Chain, Question{Roots: s.root.Chain(), Host: "gw", Now: p.Leaf().NotBefore}) != nil {
				t.Errorf("what it signs does not hold")
			}
		})
	}
	a := must(ParseAuthority(full, key(s.edge.key)))
	if !a.Root().Equal(s.root.Certificate()) || len(a.Chain()) != 2 || !a.Chain()[1].Equal(s.mid.Certificate()) {
		t.Error("the root was not told from the chain")
	}
}

func TestWhatIsWrittenIsReadAgain(t *testing.T) {
	s := newSite()
	cert, key := filepath.Join(t.TempDir(), "a.pem"), filepath.Join(t.TempDir(), "a.key")
	if err := s.server.WriteFiles(cert, key, false); err != nil {
		t.Fatal(err)
	}
	p, err := ReadPair(cert, key)
	if err != nil || !slices.EqualFunc(p.Chain, s.server.Chain, (*x509.Certificate).Equal) || !sameKey(p.Leaf().PublicKey, p.Key) {
		t.Errorf("ReadPair = %v, %v", p, err)
	}
	if err := s.edge.WriteFiles(cert, key, true); err != nil {
		t.Fatal(err)
	}
	if a, err := ReadAuthority(cert, key); err != nil || !bytes.Equal(a.CertPEM(), s.edge.CertPEM()) {
		t.Errorf("ReadAuthority: %v", err)
	}
	pool, err := ReadPool(cert)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.server.Leaf().Verify(x509.VerifyOptions{Roots: pool, DNSName: "gw.local"}); err != nil {
		t.Error(err)
	}
}

func TestFilesThatCannotBeReadAreNamed(t *testing.T) {
	s := newSite()
	dir := t.TempDir()
	cert, key, junk := filepath.Join(dir, "a.pem"), filepath.Join(dir, "a.key"), filepath.Join(dir, "junk.pem")
	if err := s.server.WriteFiles(cert, key, false); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "other.key")
	for path, text := range map[string][]byte{junk: []byte("hello"), other: must(s.edge.KeyPEM())} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	missing := filepath.Join(dir, "missing")
	pair := func(c, k string) func() error { return func() error { _, err := ReadPair(c, k); return err } }
	auth := func(c, k string) func() error { return func() error { _, err := ReadAuthority(c, k); return err } }
	tests := []struct {
		name string
		read func() error
		file string
		want error
	}{
		{"pool missing", func() error { _, err := ReadPool(missing); return err }, missing, os.ErrNotExist},
		{"pool empty", func() error { _, err := ReadPool(junk); return err }, junk, ErrNoCertificate},
		{"pair without certificate", pair(junk, key), junk, ErrNoCertificate},
		{"pair without key", pair(cert, junk), junk, ErrNoKey},
		{"pair, key missing", pair(cert, missing), missing, os.ErrNotExist},
		{"pair that is none", pair(cert, other), cert, ErrKeyMismatch},
		{"authority that is none", auth(cert, key), cert, ErrNotCA},
		{"authority missing", auth(missing, key), missing, os.ErrNotExist},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.read(); !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.file) {
				t.Errorf("got %v, want %v about %s", err, tt.want, tt.file)
			}
		})
	}
}

func FuzzParseAuthority(f *testing.F) {
	s := newSite()
	f.Add(s.edge.CertPEM(), must(s.edge.KeyPEM()))
	f.Add(append(s.edge.CertPEM(), s.root.CertPEM()...), must(s.root.KeyPEM()))
	f.Add(s.device.CertPEM(), []byte("-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, cert, key []byte) {
		a, err := ParseAuthority(cert, key)
		if err != nil {
			if a != nil {
				t.Error("an authority beside an error")
			}
			return
		}
		if !a.Certificate().IsCA || !sameKey(a.Certificate().PublicKey, a.Key()) {
			t.Error("an authority that cannot be one")
		}
		if _, err := ParseAuthority(a.CertPEM(), must(a.KeyPEM())); err != nil {
			t.Errorf("what it writes cannot be read: %v", err)
		}
	})
}

func FuzzVerify(f *testing.F) {
	s := newSite()
	f.Add(s.server.CertPEM(), "gw.local", "")
	f.Add(s.device.CertPEM(), "", "pump-7")
	f.Add(append(s.root.CertPEM(), s.server.CertPEM()...), "10.0.0.7", "")
	f.Fuzz(func(t *testing.T, chain []byte, host, device string) {
		certs, err := ParseCertificates(chain)
		if err != nil {
			return
		}
		if len(certs) > 8 {
			certs = certs[:8]
		}
		for _, p := range Verify(certs, Question{Roots: s.root.Chain(), Host: host, Device: device}) {
			if p.Reason == "" || p.Text == "" || p.Fix == "" {
				t.Errorf("a reason without words: %+v", p)
			}
		}
	})
}
