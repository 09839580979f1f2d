package workload

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// The texts are those that IoT Edge writes with the same key.
func TestCiphertextsAreThoseOfIoTEdge(t *testing.T) {
	api, log := testAPI(t, nil)
	c := serve(t, api, log, "$edgeHub", Access{UID: -1})
	path := "/modules/%24edgeHub/genid/" + testGen
	iv := b64("0123456789abcdef0123456789abcdef")
	if status, body := c.do("POST", path+"/encrypt?api-version=2019-11-05", `{"plaintext":"`+b64("hello")+`","initializationVector":"`+iv+`"}`); status != 200 || body != `{"ciphertext":"AvKFb1XhPR3+sZIThUltdGyyNS0aMg=="}` {
		t.Errorf("encrypt: %d %s", status, body)
	}
	for layout, text := range map[string]string{"2": "AvKFb1XhPR3+sZIThUltdGyyNS0aMg==", "1": "AT0d/rGSE4VJbXRssjUtGjLyhW9V4Q=="} {
		status, body := c.do("POST", path+"/decrypt?api-version=2019-11-05", `{"ciphertext":"`+text+`","initializationVector":"`+iv+`"}`)
		if status != 200 || body != `{"plaintext":"`+b64("hello")+`"}` {
			t.Errorf("decrypt layout %s: %d %s", layout, status, body)
		}
	}
}

func TestCiphertextOpensForItsOwnerAlone(t *testing.T) {
	v := testVault(t)
	owner, iv := call{module: "filter", generation: "1"}, []byte("vector")
	text, err := v.seal([]byte("hello"), iv, owner)
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Clone(text)
	changed[len(changed)-1] ^= 1
	for name, try := range map[string]func() ([]byte, error){
		"another module":     func() ([]byte, error) { return v.open(text, iv, call{module: "other", generation: "1"}) },
		"another generation": func() ([]byte, error) { return v.open(text, iv, call{module: "filter", generation: "2"}) },
		"another vector":     func() ([]byte, error) { return v.open(text, []byte("vectoR"), owner) },
		"changed":            func() ([]byte, error) { return v.open(changed, iv, owner) },
		"cut":                func() ([]byte, error) { return v.open(text[:16], iv, owner) },
		"another layout":     func() ([]byte, error) { return v.open(append([]byte{3}, text[1:]...), iv, owner) },
		"empty":              func() ([]byte, error) { return v.open(nil, iv, owner) },
	} {
		if plain, err := try(); err == nil {
			t.Errorf("%s: opened as %q", name, plain)
		}
	}
	if plain, err := v.open(text, iv, owner); err != nil || string(plain) != "hello" {
		t.Errorf("%q, %v", plain, err)
	}
}

func TestS14_TheVaultsKeyIsItsOwnersAlone(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files have no such modes")
	}
	path := filepath.Join(t.TempDir(), "key")
	first, err := OpenVault(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 || info.Size() != vaultKeySize {
		t.Fatalf("%v, %v", info, err)
	}
	again, err := OpenVault(path)
	if err != nil {
		t.Fatal(err)
	}
	text, err := first.seal([]byte("x"), []byte("v"), call{})
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := again.open(text, []byte("v"), call{}); err != nil || string(plain) != "x" {
		t.Errorf("after a restart: %q, %v", plain, err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenVault(path); err == nil {
		t.Error("a key that others may read was taken")
	}
	if err := os.WriteFile(path, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenVault(path); err == nil {
		t.Error("a key that is too short was taken")
	}
}

func FuzzDecrypt(f *testing.F) {
	for _, text := range []string{"AvKFb1XhPR3+sZIThUltdGyyNS0aMg==", "AT0d/rGSE4VJbXRssjUtGjLyhW9V4Q=="} {
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, []byte("0123456789abcdef0123456789abcdef"), "$edgeHub")
	}
	v := testVault(f)
	f.Fuzz(func(t *testing.T, text, iv []byte, module string) {
		before := bytes.Clone(text)
		plain, err := v.open(text, iv, call{module: module, generation: testGen})
		if !bytes.Equal(before, text) {
			t.Fatal("the text was changed")
		}
		if err != nil {
			return
		}
		again, err := v.seal(plain, iv, call{module: module, generation: testGen})
		if err != nil {
			t.Fatal(err)
		}
		if text[0] == tagLast && !bytes.Equal(again, text) {
			t.Fatalf("%x opens as %x, which is sealed as %x", text, plain, again)
		}
	})
}
