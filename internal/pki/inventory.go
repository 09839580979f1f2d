package pki

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
)

// Held is a certificate found in files, and what stands around it.
type Held struct {
	Cert  *x509.Certificate
	Files []string // those that begin with it: its own
	Seen  []string // those that have it further down
	Key   string   // the file with its key, or ""
	// KeyOpen tells that others than its owner may read the key's file.
	KeyOpen bool
	// Issuer is the one that signed it, itself for a root, nil if that was not found.
	Issuer *Held
	Below  []*Held // those that it signed, without itself, by name
}

// IsRoot reports whether h signed itself.
func (h *Held) IsRoot() bool { return h.Issuer == h }

// An Inventory is what is found in a set of files.
type Inventory struct {
	All    []*Held // in the order in which they were found
	Unread []error // files that look like certificates or keys and cannot be read
}

// Tops returns the certificates whose issuer was not found, and the roots.
func (inv *Inventory) Tops() []*Held {
	var tops []*Held
	for _, h := range inv.All {
		if h.Issuer == nil || h.IsRoot() {
			tops = append(tops, h)
		}
	}
	slices.SortStableFunc(tops, byName)
	return tops
}

// Certificates returns all certificates.
func (inv *Inventory) Certificates() []*x509.Certificate {
	var certs []*x509.Certificate
	for _, h := range inv.All {
		certs = append(certs, h.Cert)
	}
	return certs
}

// Of returns the certificate that a file begins with, or nil.
func (inv *Inventory) Of(file string) *Held {
	file = filepath.Clean(file)
	for _, h := range inv.All {
		if slices.Contains(h.Files, file) {
			return h
		}
	}
	return nil
}

// maxFile is the size above which a file is not one of certificates: 4 MiB, more
// than the bundles of all public roots have.
const maxFile = 4 << 20

// TakeInventory looks through files and directories with what is below them, and
// finds out which certificate belongs to which key and which issuer. Files that
// are no PEM are passed over.
func TakeInventory(paths ...string) (*Inventory, error) {
	s := &scan{seen: map[string]bool{}}
	for _, path := range paths {
		if err := filepath.WalkDir(path, s.visit); err != nil {
			return nil, fmt.Errorf("pki: %w", err)
		}
	}
	for _, h := range s.inv.All {
		s.findKey(h)
		s.findIssuer(h)
	}
	for _, h := range s.inv.All {
		slices.Sort(h.Files)
		slices.SortStableFunc(h.Below, byName)
	}
	return &s.inv, nil
}

func byName(a, b *Held) int {
	return cmp.Or(
		cmp.Compare(commonName(a.Cert), commonName(b.Cert)),
		b.Cert.NotAfter.Compare(a.Cert.NotAfter),
	)
}

type scan struct {
	inv  Inventory
	keys []heldKey
	seen map[string]bool
}

type heldKey struct {
	file string
	open bool
	key  crypto.Signer
}

func (s *scan) visit(path string, d fs.DirEntry, err error) error {
	if err != nil {
		if d == nil || !errors.Is(err, fs.ErrPermission) {
			return err
		}
		s.inv.Unread = append(s.inv.Unread, err)
		return nil
	}
	path = filepath.Clean(path)
	if d.IsDir() || s.seen[path] {
		return nil
	}
	s.seen[path] = true
	if err := s.file(path); err != nil {
		s.inv.Unread = append(s.inv.Unread, err)
	}
	return nil
}

func (s *scan) file(path string) error {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxFile {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile))
	_ = f.Close() // read-only
	if err != nil || !bytes.Contains(text, []byte("-----BEGIN ")) {
		return err
	}
	return s.pem(path, text, info.Mode())
}

func (s *scan) pem(path string, text []byte, mode fs.FileMode) error {
	certs, err := ParseCertificates(text)
	if err != nil && !errors.Is(err, ErrNoCertificate) {
		return fmt.Errorf("%s: %w", path, err)
	}
	for i, c := range certs {
		h := s.hold(c)
		if i == 0 {
			h.Files = append(h.Files, path)
		} else {
			h.Seen = append(h.Seen, path)
		}
	}
	key, err := ParseKey(text)
	switch {
	case errors.Is(err, ErrNoKey):
		return nil
	case err != nil:
		return fmt.Errorf("%s: %w", path, err)
	}
	open := runtime.GOOS != "windows" && mode.Perm()&0o077 != 0
	s.keys = append(s.keys, heldKey{path, open, key})
	return nil
}

func (s *scan) hold(c *x509.Certificate) *Held {
	for _, h := range s.inv.All {
		if h.Cert.Equal(c) {
			return h
		}
	}
	h := &Held{Cert: c}
	s.inv.All = append(s.inv.All, h)
	return h
}

func (s *scan) findKey(h *Held) {
	for _, k := range s.keys {
		if sameKey(h.Cert.PublicKey, k.key) {
			h.Key, h.KeyOpen = k.file, k.open
			return
		}
	}
}

// younger prefers certificates with files of their own to those that only stand
// in others' chains.
func younger(a, b *Held) bool {
	if own := len(a.Files) > 0; own != (len(b.Files) > 0) {
		return own
	}
	return cmp.Or(a.Cert.NotBefore.Compare(b.Cert.NotBefore), a.Cert.NotAfter.Compare(b.Cert.NotAfter)) > 0
}

// findIssuer takes the youngest of those that could have signed h: a renewed
// authority with its old key takes the place of what it was.
func (s *scan) findIssuer(h *Held) {
	if IsSelfSigned(h.Cert) {
		h.Issuer = h
		return
	}
	for _, by := range s.inv.All {
		if signedBy(h.Cert, by.Cert) && (h.Issuer == nil || younger(by, h.Issuer)) {
			h.Issuer = by
		}
	}
	if h.Issuer != nil {
		h.Issuer.Below = append(h.Issuer.Below, h)
	}
}
