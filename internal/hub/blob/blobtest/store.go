// Package blobtest is a blob store for tests: in memory, over HTTP, and as strict about
// signatures as Azure's.
package blobtest

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	name = "account"
	key  = "c2VjcmV0IGtleSBvZiBhIHRlc3QuLi4="
)

// A Store is a blob store with one account.
type Store struct {
	server *httptest.Server

	mu         sync.Mutex
	containers map[string]map[string]*blob
	failure    int // the status of every answer, if not 0
}

type blob struct {
	content  []byte
	blocks   map[string][]byte // that are not committed
	exists   bool
	modified time.Time
}

// New starts a store, which ends with the test.
func New(t testing.TB) *Store {
	s := &Store{containers: map[string]map[string]*blob{}}
	s.server = httptest.NewServer(s)
	t.Cleanup(s.server.Close)
	return s
}

// Account is the connection string of the account.
func (s *Store) Account() string {
	return "AccountName=" + name + ";AccountKey=" + key + ";BlobEndpoint=" + s.server.URL + "/" + name
}

// Make makes a container.
func (s *Store) Make(container string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.containers[container] = map[string]*blob{}
}

// Put writes a blob.
func (s *Store) Put(container, blobName string, content []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.containers[container][blobName] = &blob{content: content, exists: true, modified: time.Now()}
}

// Get reads a blob.
func (s *Store) Get(container, blobName string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.containers[container][blobName]
	if b == nil || !b.exists {
		return nil, false
	}
	return bytes.Clone(b.content), true
}

// Fail has every request answered with a status; 0 ends that.
func (s *Store) Fail(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure = status
}

// ServeHTTP implements [http.Handler].
func (s *Store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	parts := strings.SplitN(strings.TrimPrefix(r.URL.Path, "/"), "/", 3)
	switch {
	case s.failure != 0:
		fail(w, s.failure, "InTest")
	case err != nil || len(parts) < 2 || parts[0] != name:
		fail(w, http.StatusBadRequest, "InvalidUri")
	case !allowed(r, parts):
		fail(w, http.StatusForbidden, "AuthenticationFailed")
	case len(parts) == 2:
		s.makeContainer(w, parts[1])
	case s.containers[parts[1]] == nil:
		fail(w, http.StatusNotFound, "ContainerNotFound")
	default:
		serveBlob(w, r, s.containers[parts[1]], parts[2], body)
	}
}

func fail(w http.ResponseWriter, status int, code string) {
	w.Header().Set("x-ms-error-code", code)
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code></Error>", code)
}

func (s *Store) makeContainer(w http.ResponseWriter, container string) {
	if s.containers[container] != nil {
		fail(w, http.StatusConflict, "ContainerAlreadyExists")
		return
	}
	s.containers[container] = map[string]*blob{}
	w.WriteHeader(http.StatusCreated)
}

func serveBlob(w http.ResponseWriter, r *http.Request, in map[string]*blob, blobName string, body []byte) {
	b := in[blobName]
	if r.Method == http.MethodPut && b == nil {
		b = &blob{}
		in[blobName] = b
	}
	switch q := r.URL.Query(); {
	case b == nil || r.Method != http.MethodPut && !b.exists:
		fail(w, http.StatusNotFound, "BlobNotFound")
	case r.Method == http.MethodDelete:
		delete(in, blobName)
		w.WriteHeader(http.StatusAccepted)
	case r.Method != http.MethodPut:
		w.Header().Set("Last-Modified", b.modified.UTC().Format(http.TimeFormat))
		w.Header().Set("Content-Length", strconv.Itoa(len(b.content)))
		_, _ = w.Write(b.content) // the client has gone
	case q.Get("comp") == "block":
		if b.blocks == nil {
			b.blocks = map[string][]byte{}
		}
		b.blocks[q.Get("blockid")] = body
		w.WriteHeader(http.StatusCreated)
	case q.Get("comp") == "blocklist":
		b.commit(w, body)
	default:
		b.content, b.exists, b.modified = body, true, time.Now()
		w.WriteHeader(http.StatusCreated)
	}
}

func (b *blob) commit(w http.ResponseWriter, body []byte) {
	var list struct {
		Latest []string `xml:"Latest"`
	}
	if err := xml.Unmarshal(body, &list); err != nil {
		fail(w, http.StatusBadRequest, "InvalidXmlDocument")
		return
	}
	var content []byte
	for _, id := range list.Latest {
		block, ok := b.blocks[id]
		if !ok {
			fail(w, http.StatusBadRequest, "InvalidBlockList")
			return
		}
		content = append(content, block...)
	}
	b.content, b.blocks, b.exists, b.modified = content, nil, true, time.Now()
	w.WriteHeader(http.StatusCreated)
}

// allowed judges the signature of a request, written down here a second time.
func allowed(r *http.Request, parts []string) bool {
	q := r.URL.Query()
	expiry, err := time.Parse(time.RFC3339, q.Get("se"))
	if err != nil || !time.Now().Before(expiry) {
		return false
	}
	need := map[string]string{http.MethodGet: "r", http.MethodHead: "r", http.MethodPut: "w", http.MethodDelete: "d"}[r.Method]
	if need == "" || !strings.Contains(q.Get("sp"), need) {
		return false
	}
	text := ""
	switch sr := q.Get("sr"); {
	case q.Get("ss") != "":
		text = strings.Join([]string{name, q.Get("sp"), q.Get("ss"), q.Get("srt"), "", q.Get("se"), "", "", q.Get("sv"), ""}, "\n")
	case len(parts) == 3 && sr == "b":
		text = service(q, "/"+parts[1]+"/"+parts[2])
	case len(parts) == 3 && sr == "c":
		text = service(q, "/"+parts[1])
	}
	secret, _ := base64.StdEncoding.DecodeString(key) // a constant
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(text))
	return text != "" && q.Get("sig") == base64.StdEncoding.EncodeToString(h.Sum(nil))
}

func service(q url.Values, resource string) string {
	return q.Get("sp") + "\n\n" + q.Get("se") + "\n/blob/" + name + resource + "\n\n\n\n" + q.Get("sv") + "\n" + q.Get("sr") + strings.Repeat("\n", 6)
}
