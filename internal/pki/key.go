package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"strings"
)

// KeyType is a kind and size of private key.
type KeyType int

// The kinds of keys. Some device stacks read RSA only; everything recent reads
// P-256, whose handshakes cost a small device far less.
const (
	P256 KeyType = iota // the default
	P384
	P521
	RSA2048
	RSA3072
	RSA4096
)

var keyNames = [...]string{"p256", "p384", "p521", "rsa2048", "rsa3072", "rsa4096"}

// KeyTypes lists the names that [ParseKeyType] reads.
func KeyTypes() []string { return keyNames[:] }

// ParseKeyType reads a name like "p256" or "RSA-2048".
func ParseKeyType(s string) (KeyType, error) {
	name := strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(s))
	for i, known := range keyNames {
		if name == known {
			return KeyType(i), nil
		}
	}
	return 0, fmt.Errorf("pki: no key type %q; there are %s", s, strings.Join(keyNames[:], ", "))
}

// String returns the name that [ParseKeyType] reads.
func (k KeyType) String() string {
	if k < 0 || int(k) >= len(keyNames) {
		return fmt.Sprintf("KeyType(%d)", int(k))
	}
	return keyNames[k]
}

// generate makes a key, which takes seconds for RSA4096 on a small machine.
func (k KeyType) generate() (crypto.Signer, error) {
	switch k {
	case P256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case P384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case P521:
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case RSA2048:
		return rsa.GenerateKey(rand.Reader, 2048)
	case RSA3072:
		return rsa.GenerateKey(rand.Reader, 3072)
	case RSA4096:
		return rsa.GenerateKey(rand.Reader, 4096)
	}
	return nil, fmt.Errorf("no such key type: %v", k)
}

// sameKey reports whether pub is the public half of key.
func sameKey(pub crypto.PublicKey, key crypto.Signer) bool {
	p, ok := pub.(interface{ Equal(crypto.PublicKey) bool })
	return ok && p.Equal(key.Public())
}
