package pki

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"sluice/internal/atomicfile"
)

// The modes of files and directories.
const (
	certMode fs.FileMode = 0o644
	keyMode  fs.FileMode = 0o600
	certDir  fs.FileMode = 0o755
	keyDir   fs.FileMode = 0o700
)

// A File is a file to be written by [WriteFiles].
type File struct {
	Path string
	Data []byte
	Key  bool // for the owner's eyes only
}

// WriteFiles writes the chain to certPath and the key to keyPath, which only its
// owner may read. Both are there in the end, or neither is new. Existing files
// are an error that is [fs.ErrExist], unless force is set.
func (p *Pair) WriteFiles(certPath, keyPath string, force bool) error {
	key, err := p.KeyPEM()
	if err != nil {
		return err
	}
	return WriteFiles(force, File{keyPath, key, true}, File{certPath, p.CertPEM(), false})
}

// WriteFiles writes files, and makes their directories: those of keys for the
// owner alone, so name keys first. If one cannot be
// written, those before it get their old content back, or are removed again.
// Without force nothing is written if one of them exists. Each file is replaced
// as a whole, but a power cut may come between two.
func WriteFiles(force bool, files ...File) error {
	before, err := readOld(force, files)
	if err != nil {
		return fmt.Errorf("pki: %w", err)
	}
	for i, f := range files {
		if err := f.write(); err != nil {
			return errors.Join(fmt.Errorf("pki: %w", err), putBack(files[:i], before))
		}
	}
	return nil
}

// readOld returns the contents of the files that exist, nil for those that do not.
func readOld(force bool, files []File) ([][]byte, error) {
	before := make([][]byte, len(files))
	for i, f := range files {
		old, err := os.ReadFile(f.Path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case !force && (err == nil || errors.Is(err, fs.ErrPermission)):
			return nil, &fs.PathError{Op: "write", Path: f.Path, Err: fs.ErrExist}
		case err != nil:
			return nil, err
		}
		before[i] = append([]byte{}, old...)
	}
	return before, nil
}

func (f File) write() error {
	mode, dir := certMode, certDir
	if f.Key {
		mode, dir = keyMode, keyDir
	}
	if err := os.MkdirAll(filepath.Dir(f.Path), dir); err != nil {
		return err
	}
	return atomicfile.Write(f.Path, f.Data, mode)
}

func putBack(files []File, before [][]byte) error {
	var errs []error
	for i, f := range files {
		if before[i] == nil {
			errs = append(errs, os.Remove(f.Path))
			continue
		}
		f.Data = before[i]
		errs = append(errs, f.write())
	}
	return errors.Join(errs...)
}
