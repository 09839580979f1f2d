package provision

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/internal/await"
)

// watched opens a list and keeps it up to date, quickly, until the test ends.
func watched(t *testing.T, at string) (*Allow, *safeBuffer) {
	t.Helper()
	said := new(safeBuffer)
	a, err := OpenAllow(t.Context(), at, slog.New(slog.NewTextHandler(said, nil)))
	if err != nil {
		t.Fatal(err)
	}
	a.every = 5 * time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); a.Watch(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return a, said
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestAFileIsWatchedAndAMistakeInItDoesNoHarm(t *testing.T) {
	t.Parallel()
	at := filepath.Join(t.TempDir(), "leaves.txt")
	write := func(text string) {
		t.Helper()
		if err := errors.Join(os.WriteFile(at+".new", []byte(text), 0o600), os.Rename(at+".new", at)); err != nil {
			t.Fatal(err)
		}
	}
	write("a\n")
	a, said := watched(t, at)
	if a.Find("a") != ByID || a.Find("b") != Unlisted {
		t.Fatal("the list is not read")
	}
	write("a\nbb\n")
	await.True(t, "the change is seen", func() bool { return a.Find("bb") == ByID })
	write("a b c d\n")
	await.True(t, "the mistake is said", func() bool { return strings.Contains(said.String(), "line 1") })
	if a.Find("bb") != ByID {
		t.Error("the list before is not in force")
	}
	if err := os.Remove(at); err != nil {
		t.Fatal(err)
	}
	await.True(t, "the loss is said", func() bool { return strings.Contains(said.String(), "no such file") })
	write("a\nbb\n")
	write("ccc\n")
	await.True(t, "the new file is seen", func() bool { return a.Find("ccc") == ByID && a.Find("a") == Unlisted })
}

func TestAFileThatIsBeingWrittenIsNotRead(t *testing.T) {
	f := &file{path: filepath.Join(t.TempDir(), "leaves.txt")}
	for i, step := range []struct {
		text string // written before the look; "-" for nothing
		read string // "-" for nothing
	}{
		{"a\n", "a\n"}, // the first time it is needed at once
		{"-", "-"},
		{"", "-"}, {"a\nb", "-"}, {"a\nbb\n", "-"}, {"-", "a\nbb\n"},
		{"-", "-"},
	} {
		if step.text != "-" {
			if err := os.WriteFile(f.path, []byte(step.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		text, err := f.read(t.Context())
		if step.read == "-" && !errors.Is(err, errUnchanged) || step.read != "-" && (err != nil || string(text) != step.read) {
			t.Errorf("step %d: %q, %v", i, text, err)
		}
	}
}

func TestS12_AURLIsReadAndItsSignatureIsNotSaid(t *testing.T) {
	t.Parallel()
	var text atomic.Pointer[string]
	set := func(s string) { text.Store(&s) }
	set("a")
	var whole, unchanged atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := *text.Load()
		if r.URL.Query().Get("sig") != "s3cret" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		if now == "" {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.Header().Set("ETag", `"`+now+`"`)
		if r.Header.Get("If-None-Match") == `"`+now+`"` {
			unchanged.Add(1)
			w.WriteHeader(http.StatusNotModified)
			return
		}
		whole.Add(1)
		_, _ = w.Write([]byte(now))
	}))
	defer server.Close()
	a, said := watched(t, server.URL+"/lists/leaves.txt?sv=1&sig=s3cret")
	await.True(t, "the list is asked for again", func() bool { return unchanged.Load() > 1 })
	if whole.Load() != 1 {
		t.Errorf("it was sent %d times", whole.Load())
	}
	set("b")
	await.True(t, "the change is seen", func() bool { return a.Find("b") == ByID })
	set("")
	await.True(t, "the failure is said", func() bool { return strings.Contains(said.String(), "500") })
	if a.Find("b") != ByID {
		t.Error("the list before is not in force")
	}
	_, err := OpenAllow(t.Context(), server.URL+"/lists/leaves.txt?sig=s3crets", slog.New(slog.DiscardHandler))
	if err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("a wrong signature: %v", err)
	}
	server.Close()
	await.True(t, "the loss is said", func() bool { return strings.Contains(said.String(), "refused") })
	_, err = OpenAllow(t.Context(), server.URL+"/x?sig=s3cret", slog.New(slog.DiscardHandler))
	if err == nil || strings.Contains(err.Error()+said.String(), "s3cret") {
		t.Errorf("the signature was said: %v\n%s", err, said)
	}
}

func TestAListThatIsWrongAtTheStartIsAnError(t *testing.T) {
	t.Parallel()
	at := filepath.Join(t.TempDir(), "leaves.txt")
	if _, err := OpenAllow(t.Context(), at, nil); err == nil || !strings.Contains(err.Error(), at) {
		t.Errorf("no file: %v", err)
	}
	if err := os.WriteFile(at, []byte("a b"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenAllow(t.Context(), at, nil); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("a mistake: %v", err)
	}
}
