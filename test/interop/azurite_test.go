package interop

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sluice/internal/pki"
)

// An azurite is Microsoft's emulator of a storage account, with HTTPS, as the device
// SDKs want it, on an address of its own and any port. It keeps nothing. It is loose
// about headers that it does not know, of which the SDK sends one.
type azurite struct {
	account string // connection string
	root    string // file with the authority of its certificate
}

var azuriteAddress = regexp.MustCompile(`https://[0-9.]+:[0-9]+`)

func newAzurite(t *testing.T) *azurite {
	t.Helper()
	requireServiceSDK(t)
	if _, err := os.Stat("node_modules/azurite"); err != nil {
		t.Skip("azurite is not among test/interop/node_modules: run npm ci there")
	}
	ip := fmt.Sprintf("127.%d.%d.5", 64+rand.N(64), rand.N(256))
	dir := t.TempDir()
	root, err := pki.NewRoot("storage", pki.Options{})
	if err != nil {
		t.Fatal(err)
	}
	pair, err := root.Server([]string{ip}, pki.Options{})
	if err != nil {
		t.Fatal(err)
	}
	key, err := pair.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	path := func(name string, text []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	cert := path("cert.pem", pair.CertPEM())
	a := &azurite{root: path("root.pem", root.CertPEM())}
	run := launch(t, "azurite", exec.Command("node", "node_modules/azurite/dist/src/blob/main.js", "--inMemoryPersistence",
		"--silent", "--loose", "--skipApiVersionCheck", "--disableProductStyleUrl", "--blobHost", ip, "--blobPort", "0",
		"--cert", cert, "--key", path("key.pem", key)))
	run.until("successfully listen", 1, time.Minute)
	at := azuriteAddress.FindString(strings.Join(run.all(), "\n"))
	a.account = "DefaultEndpointsProtocol=https;AccountName=devstoreaccount1;AccountKey=" +
		"Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;BlobEndpoint=" + at + "/devstoreaccount1"
	return a
}

// bundle writes the authorities of several files into one, for node.
func bundle(t *testing.T, files ...string) string {
	t.Helper()
	var all []byte
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, text...)
	}
	out := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(out, all, 0o600); err != nil {
		t.Fatal(err)
	}
	return out
}
