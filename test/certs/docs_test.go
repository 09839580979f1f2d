package certs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/internal/pki"
)

// TestTheGuideCanBeFollowed runs every command of docs/certificates.md, in order,
// in one directory: those in blocks without a language.
func TestTheGuideCanBeFollowed(t *testing.T) {
	guide, err := os.ReadFile("../../docs/certificates.md")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	corporate, err := pki.NewRoot("Corporate", pki.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := corporate.WriteFiles("corporate.pem", "corporate.key", false); err != nil {
		t.Fatal(err)
	}
	ran := 0
	for i, block := range strings.Split(string(guide), "```") {
		if i%2 == 0 || !strings.HasPrefix(block, "\n") {
			continue
		}
		for line := range strings.Lines(strings.TrimSpace(block)) {
			words := strings.Fields(line)
			ran++
			t.Run(strings.TrimSpace(line), func(t *testing.T) {
				if words[0] == "openssl" {
					if out, ok := run(t, openssl(t), words[1:]...); !ok {
						t.Error(out)
					}
					return
				}
				mustSluice(t, words[2:]...)
			})
		}
	}
	if ran < 20 {
		t.Errorf("found %d commands in the guide", ran)
	}
}

// After an outage longer than the life of everything, all is made anew at once
// and devices that trust the root go on.
func TestT8_ASiteThatExpiredLongAgoIsRenewedAtOnce(t *testing.T) {
	dir := t.TempDir()
	old := pki.Options{Now: func() time.Time { return time.Now().AddDate(-20, 0, 0) }}
	root, err := pki.NewRoot("Site root", old)
	if err != nil {
		t.Fatal(err)
	}
	edge, err := root.Intermediate("edge CA", old)
	if err != nil {
		t.Fatal(err)
	}
	server, err := edge.Server([]string{"gateway.local"}, old)
	if err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string]interface {
		WriteFiles(cert, key string, force bool) error
	}{"root": root, "edge": edge, "server-gateway.local": server} {
		path := filepath.Join(dir, name)
		if err := pair.WriteFiles(path+".pem", path+".key", false); err != nil {
			t.Fatal(err)
		}
	}
	if out, status := sluice(t, "verify", "--dir", dir, "--host", "gateway.local"); status != 1 || strings.Count(out, "expired: ") != 3 {
		t.Errorf("before: status %d\n%s", status, out)
	}
	mustSluice(t, "renew", "--dir", dir, "--if-within", "30d")
	mustSluice(t, "verify", "--dir", dir, "--host", "gateway.local")
}
