package provision

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/iot"
)

func TestASubscriptionIsConfirmed(t *testing.T) {
	t.Parallel()
	p := newSite(t).start(nil)
	w := p.post(`[{"id":"2d1781af","topic":"/subscriptions/x","subject":"","data":{"validationCode":"512d38b6","validationUrl":"https://rp-eastus2.eventgrid.azure.net"},` +
		`"eventType":"Microsoft.EventGrid.SubscriptionValidationEvent","eventTime":"2026-01-25T22:12:19.4556811Z","metadataVersion":"1","dataVersion":"1"}]`)
	if w.Code != http.StatusOK || strings.TrimSpace(w.Body.String()) != `{"validationResponse":"512d38b6"}` || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}

	// CloudEvents ask with OPTIONS.
	r := httptest.NewRequest(http.MethodOptions, "/?code="+testCode.Reveal(), nil)
	r.Header.Set("WebHook-Request-Origin", "eventgrid.azure.net")
	w = httptest.NewRecorder()
	p.Handler(testCode).ServeHTTP(w, r)
	if w.Code != http.StatusOK || w.Header().Get("WebHook-Allowed-Origin") != "eventgrid.azure.net" {
		t.Errorf("status %d: %v", w.Code, w.Header())
	}
}

func TestNobodyIsHeardWithoutTheCode(t *testing.T) {
	t.Parallel()
	p := newSite(t).start(nil)
	body, err := json.Marshal([]any{event("site-1", "itm", "leaf-1", "create")})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(code iot.Secret, method, url, header string) int {
		r := httptest.NewRequest(method, url, strings.NewReader(string(body)))
		if header != "" {
			r.Header.Set("x-functions-key", header)
		}
		w := httptest.NewRecorder()
		p.Handler(code).ServeHTTP(w, r)
		return w.Code
	}
	for _, c := range []struct {
		name        string
		code        iot.Secret
		method, url string
		header      string
		want        int
	}{
		{"no code", testCode, "POST", "/", "", 401},
		{"a wrong code", testCode, "POST", "/?code=open-sesam", "", 401},
		{"a wrong code in the header", testCode, "POST", "/", "open", 401},
		{"a service without a code", "", "POST", "/?code=", "", 401},
		{"a handshake without", testCode, "OPTIONS", "/", "", 401},
		{"another method", testCode, "PUT", "/?code=open-sesame", "", 405},
		{"health is for everybody", testCode, "GET", "/health", "", 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := ask(c.code, c.method, c.url, c.header); got != c.want {
				t.Errorf("status %d, want %d", got, c.want)
			}
		})
	}
	if n := p.Counts().Asked; n != 0 {
		t.Fatalf("%d requests were taken", n)
	}
	if got := ask(testCode, "POST", "/any/path", "open-sesame"); got != 200 || p.Counts().Asked != 1 {
		t.Errorf("the right code in the header: status %d, %+v", got, p.Counts())
	}
}

func TestEventsComeInEveryFormThatEventGridHas(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	m, p := s.connect("site-1"), s.start(nil)
	data := func(e map[string]any) map[string]any { return e["data"].(map[string]any) }

	encoded := event("site-1", "itm", "leaf-base64", "create")
	text, err := json.Marshal(data(encoded)["body"])
	if err != nil {
		t.Fatal(err)
	}
	data(encoded)["body"] = base64.StdEncoding.EncodeToString(text)

	cloud := event("site-1", "itm", "leaf-cloud", "create")
	cloud["type"], cloud["specversion"], cloud["time"] = cloud["eventType"], "1.0", cloud["eventTime"]
	delete(cloud, "eventType")
	delete(cloud, "eventTime")

	other := event("site-1", "itm", "leaf-other", "create")
	data(other)["properties"] = map[string]string{"itmtype": "LeafHello"}
	connected := event("site-1", "itm", "leaf-connected", "create")
	connected["eventType"] = "Microsoft.Devices.DeviceConnected"
	sample := event("site-1", "itm", "leaf-sample", "Create") // as C# may write it
	data(sample)["properties"] = map[string]string{"ItmType": "LeafEvent", "more": "x"}
	broken := event("site-1", "itm", "leaf-broken", "create")
	data(broken)["body"] = "!!!"

	if w := p.post([]any{encoded, other, connected, sample, broken, 7, nil, []int{}, map[string]any{}}); w.Code != http.StatusOK {
		t.Errorf("status %d: what is wrong in one event must not bring the others again", w.Code)
	}
	if w := p.post(cloud); w.Code != http.StatusOK {
		t.Errorf("one CloudEvent: status %d", w.Code)
	}
	for _, leaf := range []string{"leaf-base64", "leaf-cloud", "leaf-sample"} {
		if code := m.await(leaf, 1); code != http.StatusCreated {
			t.Errorf("%s: told %d", leaf, code)
		}
	}
	if c := p.Counts(); c.Asked != 3 || c.Bad != 5 {
		t.Errorf("%+v", c)
	}
	for _, text := range []string{"", "x", "{", "null", `"x"`, `[{]`} {
		if w := p.post(text); w.Code != http.StatusBadRequest {
			t.Errorf("%q: status %d", text, w.Code)
		}
	}
	if w := p.post("[" + strings.Repeat(" ", maxPost) + "]"); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a post that is too large: status %d", w.Code)
	}
}

func TestS14_WhatIsKeptIsForTheOwnerAlone(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "p")
	if err := os.Mkdir(dir, 0o755); err != nil { //nolint:gosec // as somebody may have made it
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, codeFile), []byte("given\n"), 0o644); err != nil { //nolint:gosec // the same
		t.Fatal(err)
	}
	code, err := Code(dir)
	if err != nil || code != "given" {
		t.Fatalf("the code is %q: %v", code.Reveal(), err)
	}
	s := newSite(t)
	p := s.start(func(cfg *Config) { cfg.Dir = dir })
	p.ask("leaf-1", "create")
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range append(entries, dirEntry(t, dir)) {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has the mode %o", e.Name(), info.Mode().Perm())
		}
	}
	// One is made where there is none, and kept.
	fresh := filepath.Join(t.TempDir(), "new")
	made, err := Code(fresh)
	if err != nil || len(made) < 20 || strings.ContainsAny(made.Reveal(), "+/=") {
		t.Errorf("a code that was made: %q, %v", made.Reveal(), err)
	}
	if again, err := Code(fresh); err != nil || again != made {
		t.Errorf("it is another one the second time: %v", err)
	}
}

func dirEntry(t *testing.T, path string) os.DirEntry {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() == filepath.Base(path) {
			return e
		}
	}
	t.Fatal("no such directory")
	return nil
}

// FuzzEvents: whatever is posted, what is taken has a sender and a leaf that may
// stand in a hub.
func FuzzEvents(f *testing.F) {
	seed, err := json.Marshal([]any{event("site-1", "itm", "leaf-1", "create"), event("site-1", "itm", "..", "delete")})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte(`{"type":"Microsoft.Devices.DeviceTelemetry","data":{"properties":{"itmtype":"LeafEvent"},"systemProperties":{"iothub-connection-device-id":"d","iothub-connection-module-id":"m"},"body":"e30="}}`))
	f.Add([]byte(`[{"eventType":"Microsoft.EventGrid.SubscriptionValidationEvent","data":{"validationCode":"x"}}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		list, err := parseGrid(text)
		if err != nil {
			return
		}
		for _, one := range list {
			e, err := parseEvent(one)
			if err != nil {
				continue
			}
			r, err := fromGrid(e)
			if err != nil {
				continue
			}
			if r.Sender.Validate() != nil || !r.Sender.IsModule() || iot.ValidateID(r.Leaf) != nil {
				t.Fatalf("taken: %+v", r)
			}
			if e.Data.System.Device != r.Sender.Device || e.Data.System.Module != r.Sender.Module {
				t.Fatalf("%+v does not come from %+v", r, e.Data.System)
			}
			if r.Fault == "" && strings.EqualFold(r.Leaf, r.Sender.Device) {
				t.Fatalf("a leaf that is the edge device: %+v", r)
			}
		}
	})
}
