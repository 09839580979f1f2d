package pki

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// The types of PEM blocks that are read.
const (
	typeCertificate  = "CERTIFICATE"
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
