package pki

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// draw shows an inventory as text, one certificate a line.
func draw(inv *Inventory, dir string) string {
	var b strings.Builder
	var visit func(h *Held, depth int)
	visit = func(h *Held, depth int) {
		var files []string
		for _, f := range append(h.Files, h.Key) {
			files = append(files, strings.TrimPrefix(strings.TrimPrefix(f, dir), string(filepath.Separator)))
		}
		fmt.Fprintf(&b, "%s%s: %s\n", strings.Repeat(" ", depth), commonName(h.Cert), strings.Join(files, " "))
		for _, below := range h.Below {
			visit(below, depth+1)
		}
	}
	for _, top := range inv.Tops() {
		visit(top, 0)
	}
	return b.String()
}

func writeAll(t *testing.T, dir string, all map[string][]byte) {
	t.Helper()
	for name, text := range all {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestInventoryFindsWhoSignedWhomAndWithWhichKey(t *testing.T) {
	s := newSite()
	dir := t.TempDir()
	self := must(SelfSigned("pump-8", Options{}))
	writeAll(t, dir, map[string][]byte{
		"root.pem": s.root.CertPEM(), "far/root.key": must(s.root.KeyPEM()),
		"edge.pem": s.edge.CertPEM(), "edge.key": must(s.edge.KeyPEM()),
		"gw.pem": s.server.CertPEM(), "gw-alone.crt": EncodeCertificates(s.server.Leaf()), "gw.key": must(s.server.KeyPEM()),
		"self.pem":  append(self.CertPEM(), must(self.KeyPEM())...),
		"notes.txt": []byte("hello"), "empty.pem": nil,
		"broken.pem": []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
		"locked.key": block(typeEncryptedKey, []byte("x")),
	})
	inv, err := TakeInventory(dir, filepath.Join(dir, "root.pem"))
	if err != nil {
		t.Fatal(err)
	}
	want := `Site root: root.pem far/root.key
 Site intermediate: 
  gw edge CA: edge.pem edge.key
   gw.local: gw-alone.crt gw.pem gw.key
pump-8: self.pem self.pem
`
	if diff := cmp.Diff(want, draw(inv, dir)); diff != "" {
		t.Error(diff)
	}
	if len(inv.Unread) != 2 || !strings.Contains(fmt.Sprint(inv.Unread), "broken.pem") || !strings.Contains(fmt.Sprint(inv.Unread), "encrypted") {
		t.Errorf("not read: %v", inv.Unread)
	}
	if h := inv.Of(dir + "/./gw.pem"); h == nil || !h.Cert.Equal(s.server.Leaf()) || inv.Of(dir) != nil {
		t.Error("a file does not lead to what it begins with")
	}
	if mid := inv.Of(filepath.Join(dir, "edge.pem")).Issuer; len(mid.Files) != 0 || len(mid.Seen) != 2 {
		t.Errorf("the intermediate is in %v and within %v", mid.Files, mid.Seen)
	}
}

func TestS14_InventoryTellsKeysThatOthersCanRead(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such modes")
	}
	dir := t.TempDir()
	p := must(SelfSigned("pump-8", Options{}))
	writeAll(t, dir, map[string][]byte{"a.pem": p.CertPEM(), "a.key": must(p.KeyPEM())})
	for mode, want := range map[os.FileMode]bool{0o600: false, 0o640: true, 0o604: true, 0o400: false} {
		if err := os.Chmod(filepath.Join(dir, "a.key"), mode); err != nil {
			t.Fatal(err)
		}
		inv, err := TakeInventory(dir)
		if err != nil || inv.All[0].KeyOpen != want {
			t.Errorf("mode %v: open %v, %v", mode, inv.All[0].KeyOpen, err)
		}
	}
}

func TestInventoryTakesTheRenewedAuthorityForTheIssuer(t *testing.T) {
	s := newSite()
	dir := t.TempDir()
	again := must(s.mid.Renew(s.edge.Certificate(), Options{Signer: s.edge.key}))
	writeAll(t, dir, map[string][]byte{"a-server.pem": s.server.CertPEM(), "edge.pem": again.CertPEM()})
	inv, err := TakeInventory(dir)
	if err != nil {
		t.Fatal(err)
	}
	if by := inv.Of(filepath.Join(dir, "a-server.pem")).Issuer; !by.Cert.Equal(again.Leaf()) {
		t.Error("the issuer is the authority of before")
	}
}

func TestInventoryOfNothingIsAnError(t *testing.T) {
	if _, err := TakeInventory(filepath.Join(t.TempDir(), "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
