package blob_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"sluice/internal/hub/blob"
	"sluice/internal/hub/blob/blobtest"
)

func TestAccountsOfConnectionStrings(t *testing.T) {
	const key = "c2VjcmV0"
	for text, want := range map[string]string{
		"UseDevelopmentStorage=true": "http://127.0.0.1:10000/devstoreaccount1",
		"UseDevelopmentStorage=true;DevelopmentStorageProxyUri=https://127.0.0.7/":                                 "https://127.0.0.7:10000/devstoreaccount1",
		"DefaultEndpointsProtocol=https;AccountName=a;AccountKey=" + key + ";EndpointSuffix=core.chinacloudapi.cn": "https://a.blob.core.chinacloudapi.cn",
		"AccountName=a;AccountKey=" + key:                                   "https://a.blob.core.windows.net",
		"accountname=a; accountkey=" + key + ";BlobEndpoint=http://b:1/a/;": "http://b:1/a",
		"":                             "",
		"AccountName=a":                "",
		"AccountName=a;AccountKey=###": "",
		"AccountName":                  "",
		"AccountName=a;AccountKey=" + key + ";BlobEndpoint=ftp://b/": "",
		"AccountName=a;AccountKey=" + key + ";BlobEndpoint=":         "https://a.blob.core.windows.net",
	} {
		a, err := blob.ParseAccount(text)
		switch {
		case want == "" && !errors.Is(err, blob.ErrAccount):
			t.Errorf("%q: %v", text, err)
		case want == "" || err == nil && a.Endpoint.String() == want:
		default:
			t.Errorf("%q: %v, %v", text, a.Endpoint, err)
		}
	}
}

func FuzzParseAccount(f *testing.F) {
	for _, seed := range []string{"UseDevelopmentStorage=true", "AccountName=a;AccountKey=c2VjcmV0;BlobEndpoint=http://b/a", "=;;="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := blob.ParseAccount(text)
		if err != nil {
			return
		}
		if a.Name == "" || a.Host() == "" {
			t.Errorf("%q is an account without a name or a host", text)
		}
	})
}

// The signature was made by Microsoft's storage SDK, for the emulator's account.
func TestASignatureIsAzures(t *testing.T) {
	a, err := blob.ParseAccount("UseDevelopmentStorage=true")
	if err != nil {
		t.Fatal(err)
	}
	const want = "se=2030-01-02T03%3A04%3A05Z&sig=T3omo%2FIFJFXTPNbJLYx0%2B8Ha9LawhNzwUK5QtKlZvWc%3D&sp=rw&sr=b&sv=2018-11-09"
	if got := a.SignBlob("uploads", "pump/a b.txt", blob.ReadWrite, time.Date(2030, 1, 2, 3, 4, 5, 999, time.UTC)); got != want {
		t.Errorf("signed %s\nwant   %s", got, want)
	}
}

func open(t *testing.T) (*blobtest.Store, blob.Account, *blob.Container) {
	t.Helper()
	store := blobtest.New(t)
	a, err := blob.ParseAccount(store.Account())
	if err != nil {
		t.Fatal(err)
	}
	c := a.Container("c", time.Now(), nil)
	if err := c.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	return store, a, c
}

func TestABlobIsWrittenInBlocksAndRead(t *testing.T) {
	store, _, c := open(t)
	if err := c.Create(t.Context()); err != nil {
		t.Errorf("made again: %v", err)
	}
	want := bytes.Repeat([]byte("0123456789abcdef"), 600_000) // 9.6 MB: three blocks
	w := c.Write("a/b c.txt")
	for rest := want; len(rest) > 0; {
		n := min(len(rest), 1_000_000)
		if err := w.Append(t.Context(), rest[:n]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if _, there := store.Get("c", "a/b c.txt"); there {
		t.Error("it is there before it was committed")
	}
	if err := w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	facts, err := c.Stat(t.Context(), "a/b c.txt")
	if err != nil || facts.Size != int64(len(want)) || time.Since(facts.Modified).Abs() > time.Minute {
		t.Errorf("%+v, %v", facts, err)
	}
	r, err := c.Read(t.Context(), "a/b c.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // was read
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
	for range 2 {
		if err := c.Delete(t.Context(), "a/b c.txt"); err != nil {
			t.Error(err)
		}
	}
}

func TestASignatureAllowsNoMoreThanItSays(t *testing.T) {
	_, a, c := open(t)
	if err := c.Write("dev/1").Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	soon := time.Now().Add(time.Minute)
	for name, try := range map[string]struct {
		query, blob string
		ok          bool
	}{
		"itself":             {a.SignBlob("c", "dev/1", blob.Read, soon), "dev/1", true},
		"of its container":   {a.SignContainer("c", blob.Read, soon), "dev/1", true},
		"another blob":       {a.SignBlob("c", "dev/1", blob.Read, soon), "dev/2", false},
		"another container":  {a.SignBlob("d", "dev/1", blob.Read, soon), "dev/1", false},
		"yesterday":          {a.SignBlob("c", "dev/1", blob.Read, soon.Add(-24*time.Hour)), "dev/1", false},
		"without permission": {a.SignBlob("c", "dev/1", "w", soon), "dev/1", false},
	} {
		c, err := blob.Open(fmt.Sprintf("%s/c?%s", a.Endpoint, try.query), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Stat(t.Context(), try.blob)
		var e *blob.Error
		if try.ok != (err == nil) || !try.ok && (!errors.As(err, &e) || e.Status != http.StatusForbidden) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestErrorsOfTheStoreHaveItsCodeAndNoSignature(t *testing.T) {
	store, _, c := open(t)
	_, err := c.Read(t.Context(), "nothing")
	var e *blob.Error
	if !errors.As(err, &e) || !blob.IsNotFound(err) || e.Code != "BlobNotFound" {
		t.Errorf("%v", err)
	}
	store.Fail(http.StatusServiceUnavailable)
	if err := c.Write("x").Commit(t.Context()); !errors.As(err, &e) || e.Status != 503 {
		t.Errorf("%v", err)
	}
	gone, err := blob.Open("http://127.0.0.1:1/account/c?sig=secret", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := gone.Create(t.Context()); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
	for _, address := range []string{"", "c", "ftp://a/c", "https://a", "https://a/?sig=secret", "https://a/%zz?sig=secret"} {
		if _, err := blob.Open(address, nil); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", address, err)
		}
	}
}
