package sas

import (
	"crypto/rand"
	"encoding/base64"
	"errors"

	"sluice/iot"
)

// keyLength is what IoT Hub generates today, in bytes.
const keyLength = 32

// ErrKey is returned for a key that is empty or not base64.
var ErrKey = errors.New("key is not base64 text")

// NewKey makes a random key.
func NewKey() iot.Secret {
	var raw [keyLength]byte
	rand.Read(raw[:]) // never fails; see crypto/rand
	return iot.Secret(base64.StdEncoding.EncodeToString(raw[:]))
}

// DecodeKey returns the bytes of a key.
func DecodeKey(key iot.Secret) ([]byte, error) {
	raw, err := base64.StdEncoding.DecodeString(key.Reveal())
	if err != nil || len(raw) == 0 {
		return nil, ErrKey
	}
	return raw, nil
}

// DeriveKey makes the key of a leaf from the key of what registers it, as
// identity translation and group enrolments do: the HMAC-SHA256 of the leaf id.
func DeriveKey(parent iot.Secret, leaf string) (iot.Secret, error) {
	raw, err := DecodeKey(parent)
	if err != nil {
		return "", err
	}
	return iot.Secret(base64.StdEncoding.EncodeToString(digest(raw, []byte(leaf)))), nil
}
