package workload

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"runtime"

	"sluice/internal/atomicfile"
)

// The layouts of a ciphertext: a byte that tells which, and a tag of 16 bytes after
// the rest or, in what IoT Edge 1.1 and earlier wrote, before it.
const (
	tagFirst byte = 1
	tagLast  byte = 2

	tagSize = 16
)

// A Vault encrypts for modules with the gateway's one key, AES-256-GCM. What it
// encrypted for a module and a generation of it can be read with both alone.
type Vault struct{ block cipher.Block }

// vaultKeySize is that of AES-256, in bytes.
const vaultKeySize = 32

// OpenVault reads the key at path, and makes it the first time. It refuses a file
// that others may read.
func OpenVault(path string) (*Vault, error) {
	key, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		key = make([]byte, vaultKeySize)
		if _, err = rand.Read(key); err == nil {
			err = atomicfile.Write(path, key, 0o600)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("key of the workload API: %w", err)
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("key of the workload API: %w", err)
	case runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("key of the workload API %s may be read by others (mode %04o); set it to 0600", path, info.Mode().Perm())
	case len(key) != vaultKeySize:
		return nil, fmt.Errorf("key of the workload API %s has %d bytes, not %d", path, len(key), vaultKeySize)
	}
	return newVault(key)
}

func newVault(key []byte) (*Vault, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return &Vault{block}, nil
}

// mode is GCM with a nonce as long as the caller's, and the module and generation
// that a text belongs to.
func (v *Vault) mode(iv []byte, c call) (gcm cipher.AEAD, owner []byte, err error) {
	if len(iv) == 0 {
		return nil, nil, errors.New("the initialization vector is empty")
	}
	gcm, err = cipher.NewGCMWithNonceSize(v.block, len(iv))
	return gcm, []byte(c.module + c.generation), err
}

func (v *Vault) seal(plain, iv []byte, c call) ([]byte, error) {
	gcm, owner, err := v.mode(iv, c)
	if err != nil {
		return nil, err
	}
	return gcm.Seal([]byte{tagLast}, iv, plain, owner), nil
}

var errCiphertext = errors.New("the text cannot be decrypted: it was changed, or encrypted for another module, generation or vector")

func (v *Vault) open(text, iv []byte, c call) ([]byte, error) {
	gcm, owner, err := v.mode(iv, c)
	if err != nil {
		return nil, err
	}
	if len(text) < 1+tagSize {
		return nil, errCiphertext
	}
	layout, text := text[0], text[1:]
	switch layout {
	case tagFirst:
		text = append(text[tagSize:len(text):len(text)], text[:tagSize]...)
	case tagLast:
	default:
		return nil, errCiphertext
	}
	plain, err := gcm.Open(nil, iv, text, owner)
	if err != nil {
		return nil, errCiphertext
	}
	return plain, nil
}

type cipherRequest struct {
	Plaintext  *string `json:"plaintext"`
	Ciphertext *string `json:"ciphertext"`
	IV         *string `json:"initializationVector"`
}

func (a *API) encrypt(r *http.Request, c call) (any, error) {
	var q cipherRequest
	if err := a.readCipher(r, c, &q); err != nil {
		return nil, err
	}
	text, err := a.crypt(a.opt.Vault.seal, "plaintext", q.Plaintext, q.IV, c)
	return map[string]string{"ciphertext": text}, err
}

func (a *API) decrypt(r *http.Request, c call) (any, error) {
	var q cipherRequest
	if err := a.readCipher(r, c, &q); err != nil {
		return nil, err
	}
	text, err := a.crypt(a.opt.Vault.open, "ciphertext", q.Ciphertext, q.IV, c)
	return map[string]string{"plaintext": text}, err
}

// readCipher reads a request to encrypt or decrypt. Only the generation that the
// module is of now may be named: what an earlier one of the name kept is not its.
func (a *API) readCipher(r *http.Request, c call, q *cipherRequest) error {
	if a.opt.Vault == nil {
		return refuse(http.StatusNotFound, "this gateway does not encrypt")
	}
	if err := readJSON(r, q); err != nil {
		return err
	}
	_, generation, ok := a.opt.Keys(r.Context(), c.module)
	if !ok || generation != c.generation {
		return refuse(http.StatusNotFound, "the module is not of generation %q", c.generation)
	}
	return nil
}

func (a *API) crypt(do func(text, iv []byte, c call) ([]byte, error), name string, text, vector *string, c call) (string, error) {
	in, err := binary(name, text)
	if err != nil {
		return "", err
	}
	iv, err := binary("initializationVector", vector)
	if err != nil {
		return "", err
	}
	out, err := do(in, iv, c)
	return base64.StdEncoding.EncodeToString(out), err
}
