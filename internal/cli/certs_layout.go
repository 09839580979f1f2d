package cli

import (
	"fmt"
	"path/filepath"
	"strings"

	"sluice/internal/pki"
)

// certLayout names the files of certificates.
type certLayout struct {
	dir   string
	azure bool
}

// certFiles are the files of one certificate.
type certFiles struct {
	cert  string // the certificate alone; "" for none
	chain string // with those above it
	key   string
}

func (l certLayout) root() certFiles {
	return l.files("root", "azure-iot-test-only.root.ca")
}

func (l certLayout) intermediate() certFiles {
	return l.files("intermediate", "azure-iot-test-only.intermediate")
}

func (l certLayout) edgeCA(host string) certFiles {
	return l.files("edge-ca-"+fileName(host), "iot-edge-device-ca-"+fileName(host))
}

func (l certLayout) server(host string) certFiles {
	return l.files("server-"+fileName(host), "iot-edge-server-"+fileName(host))
}

func (l certLayout) device(id string) certFiles {
	return l.files("device-"+fileName(id), "iot-device-"+fileName(id))
}

// files keeps certificates and keys apart by their extension or directory, so
// that no id makes the one take the place of the other.
func (l certLayout) files(plain, azure string) certFiles {
	if !l.azure {
		base := filepath.Join(l.dir, plain)
		return certFiles{chain: base + ".pem", key: base + ".key"}
	}
	base := filepath.Join(l.dir, "certs", azure)
	f := certFiles{
		cert:  base + ".cert.pem",
		chain: base + "-full-chain.cert.pem",
		key:   filepath.Join(l.dir, "private", azure+".key.pem"),
	}
	if azure == "azure-iot-test-only.root.ca" {
		f.cert, f.chain = "", f.cert
	}
	return f
}

// fileName escapes what some file systems do not take, as %XX.
func fileName(id string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._@+=,()!'"
	var b strings.Builder
	for i := range len(id) {
		if strings.IndexByte(plain, id[i]) >= 0 {
			b.WriteByte(id[i])
		} else {
			fmt.Fprintf(&b, "%%%02X", id[i])
		}
	}
	return b.String()
}

// contents are the files to write for p, key first. Microsoft's full chains hold
// the root too, as far as it is known.
func (l certLayout) contents(f certFiles, p *pki.Pair, root []byte) ([]pki.File, error) {
	key, err := p.KeyPEM()
	if err != nil {
		return nil, err
	}
	chain := p.CertPEM()
	if l.azure && f.cert != "" {
		chain = append(chain, root...)
	}
	files := []pki.File{{Path: f.key, Data: key, Key: true}, {Path: f.chain, Data: chain}}
	if f.cert != "" {
		files = append(files, pki.File{Path: f.cert, Data: pki.EncodeCertificates(p.Leaf())})
	}
	return files, nil
}
