package rest

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/auth"
	"sluice/internal/dbtest"
	"sluice/internal/hub"
	"sluice/internal/hub/hubtest"
	"sluice/internal/hub/registry"
	"sluice/internal/sas"
	"sluice/internal/transcript"
	"sluice/iot"
)

const hubName = "hub.test"

// begin is the time of the tests' clock, which ticks a second with each look.
var begin = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)

// A testHub is the API on a registry in memory.
type testHub struct {
	http.Handler
	registry *registry.Store
	log      *bytes.Buffer
	now      time.Time
}

func newHub(t testing.TB) *testHub {
	t.Helper()
	h := &testHub{log: new(bytes.Buffer), now: begin}
	var err error
	if h.registry, err = registry.Open(dbtest.Open(t, vfs.NewMem()), registry.Options{Now: h.tick, MaxDevices: 2000}); err != nil {
		t.Fatal(err)
	}
	clock := func() time.Time { return h.now }
	// For twins, methods and commands.
	real := hubtest.Open(t, vfs.NewMem(), hub.Options{Hosts: []string{hubName}, Registry: h.registry, Now: clock})
	h.Handler = New(Options{
		HostName: hubName,
		Registry: h.registry,
		Auth:     &auth.Authenticator{Directory: h.registry, Hosts: []string{hubName}, Now: clock},
		Hub:      somebody{real.Hub, "there"},
		Events:   http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `"events"`) }),
		Log:      slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Now:      clock,
	})
	return h
}

func (h *testHub) tick() time.Time {
	h.now = h.now.Add(time.Second)
	return h.now
}

// somebody is one device that is connected.
type somebody struct {
	Hub
	id string
}

func (s somebody) ConnectionState(id iot.Identity) iot.ConnectionState {
	if id.Device == s.id {
		return iot.ConnectionState{Connected: true, Since: begin.Add(1234567891 * time.Nanosecond)}
	}
	return iot.ConnectionState{}
}
func (s somebody) LastActivity(id iot.Identity) time.Time { return s.ConnectionState(id).Since }
func (s somebody) Connected() int                         { return 1 }
func (s somebody) CommandCount(iot.Identity) int          { return 0 }

// token is what caller shows: the name of a policy, an identity such as
// "site/$edgeHub", or "nobody".
func (h *testHub) token(t testing.TB, caller string) string {
	t.Helper()
	if caller == "nobody" {
		return ""
	}
	resource, key, policy := sas.Resource{Host: hubName}, iot.Secret(""), ""
	if p, ok := h.registry.Policy(caller); ok {
		key, policy = p.Primary, p.Name
	} else {
		id, err := iot.ParseIdentity(caller)
		if err != nil {
			t.Fatal(err)
		}
		e, ok := h.registry.Get(id)
		if !ok {
			t.Fatalf("caller %s is neither a policy nor registered", caller)
		}
		resource.Identity, key = id, e.Auth.PrimaryKey
	}
	token, err := sas.Sign(key, resource, policy, h.now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// ask sends one request. An api-version is added to a path that has no query.
func (h *testHub) ask(t testing.TB, method, path, caller, ifMatch, body string) *httptest.ResponseRecorder {
	t.Helper()
	header := http.Header{}
	if ifMatch != "" {
		header.Set("If-Match", ifMatch)
	}
	return h.request(t, method, path, caller, header, body)
}

func (h *testHub) request(t testing.TB, method, path, caller string, header http.Header, body string) *httptest.ResponseRecorder {
	t.Helper()
	if !strings.Contains(path, "?") {
		path += "?api-version=2021-04-12"
	}
	r := httptest.NewRequest(method, "https://"+hubName+path, strings.NewReader(body))
	r.Header = header
	if token := h.token(t, caller); token != "" {
		r.Header.Set("Authorization", token)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// TestTranscripts plays the conversations in testdata. A request is
//
//	> METHOD PATH as CALLER [if ETAG] [page SIZE] [after CONTINUATION]
//	> BODY
//
// and its answer the lines below that begin with "<". SCOPE(x) in a body is the
// scope of edge device x, and LAST the continuation of the answer before. Keys and tracking ids are shown as their names, since
// they are random.
func TestTranscripts(t *testing.T) {
	transcript.Each(t, "testdata/*.txt", func(t *testing.T, script string) string { return play(t, newHub(t), script) })
}

var requestLine = regexp.MustCompile(`^> ([A-Z]+) (\S+) as (\S+)(?: if (\S+))?(?: page (\S+))?(?: after (\S+))?$`)

func play(t *testing.T, h *testHub, script string) string {
	t.Helper()
	var out strings.Builder
	last := ""
	lines := strings.Split(strings.TrimRight(script, "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		if strings.HasPrefix(lines[i], "<") {
			continue
		}
		fmt.Fprintln(&out, lines[i])
		m := requestLine.FindStringSubmatch(lines[i])
		if m == nil {
			continue
		}
		body := ""
		if i+1 < len(lines) && strings.HasPrefix(lines[i+1], "> ") && !requestLine.MatchString(lines[i+1]) {
			i++
			body = lines[i][2:]
			fmt.Fprintln(&out, lines[i])
		}
		header := http.Header{}
		for i, name := range []string{"If-Match", pageSizeHeader, continuationHeader} {
			if m[4+i] != "" {
				header.Set(name, strings.ReplaceAll(m[4+i], "LAST", last))
			}
		}
		w := h.request(t, m[1], m[2], m[3], header, h.withScopes(t, body))
		last = w.Header().Get(continuationHeader)
		writeAnswer(&out, w)
	}
	return out.String()
}

var scopeName = regexp.MustCompile(`SCOPE\((\S+?)\)`)

// withScopes writes the scope of an edge device for SCOPE(device).
func (h *testHub) withScopes(t *testing.T, text string) string {
	return scopeName.ReplaceAllStringFunc(text, func(m string) string {
		e, ok := h.registry.Get(iot.DeviceIdentity(scopeName.FindStringSubmatch(m)[1]))
		if !ok {
			t.Fatalf("%s is not registered", m)
		}
		return e.Scope
	})
}

var (
	keyText      = regexp.MustCompile(`"[A-Za-z0-9+/]{43}="`)
	trackingText = regexp.MustCompile(`Tracking ID:[0-9a-f]{32}`)
)

func writeAnswer(out *strings.Builder, w *httptest.ResponseRecorder) {
	fmt.Fprintf(out, "< %d", w.Code)
	for _, name := range []string{"ETag", "Allow", "Iothub-Errorcode", "X-Ms-Item-Type", "X-Ms-Continuation"} {
		if v := w.Header().Get(name); v != "" {
			fmt.Fprintf(out, " %s: %s", name, v)
		}
	}
	fmt.Fprintln(out)
	body := keyText.ReplaceAll(w.Body.Bytes(), []byte(`"KEY"`))
	body = trackingText.ReplaceAll(body, []byte("Tracking ID:TRACKING"))
	if len(body) > 0 {
		fmt.Fprintf(out, "< %s\n", body)
	}
}
