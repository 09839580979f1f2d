package scopeapi

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/upstream"
	"sluice/iot"
)

// fakeScopes answers what it is asked with, and notes who asked.
type fakeScopes struct {
	regs  []iot.Registration
	asked iot.Credentials
}

func (f *fakeScopes) InScope(_ context.Context, creds iot.Credentials, continuation string) (iot.ScopePage, error) {
	f.asked = creds
	if creds.Token != "good" {
		return iot.ScopePage{}, iot.Errorf(iot.Unauthorized, "scope", creds.Identity, "a secret reason")
	}
	at := 0
	_, _ = fmt.Sscan(continuation, &at) // none is the first
	if at < 0 || at >= len(f.regs) {
		return iot.ScopePage{}, nil
	}
	page := iot.ScopePage{Identities: f.regs[at : at+1]}
	if at+1 < len(f.regs) {
		page.Next = fmt.Sprint(at + 1)
	}
	return page, nil
}

func (f *fakeScopes) Lookup(_ context.Context, creds iot.Credentials, target iot.Identity) ([]iot.Registration, error) {
	f.asked = creds
	for _, r := range f.regs {
		if r.Identity == target {
			return []iot.Registration{r}, nil
		}
	}
	return nil, iot.Errorf(iot.NotFound, "scope", target, "it is not registered, or not in scope")
}

var (
	lower    = iot.ModuleIdentity("lower", iot.EdgeHubModule)
	everyone = []iot.Registration{
		{Identity: iot.DeviceIdentity("lower"), GenerationID: "1", ETag: "a", Enabled: true, Edge: true, Scope: "s-lower", ParentScopes: []string{"s-upper"},
			Auth: iot.Authentication{Type: iot.AuthSAS, PrimaryKey: "a2V5", SecondaryKey: "a2V5Mg=="}},
		{Identity: lower, GenerationID: "2", ETag: "b", Enabled: true, Auth: iot.Authentication{Type: iot.AuthSAS, PrimaryKey: "a2V5"}},
		{Identity: iot.DeviceIdentity("pump+7'"), GenerationID: "3", ETag: "c", Scope: "s-lower", ParentScopes: []string{"s-lower"},
			Auth: iot.Authentication{Type: iot.AuthSelfSigned, PrimaryThumbprint: "AB"}},
	}
)

// serve serves the questions to our own uplink.
func serve(t *testing.T) (*fakeScopes, *upstream.Hub, string) {
	t.Helper()
	f := &fakeScopes{regs: everyone}
	server := httptest.NewTLSServer(Handler(f, http.NotFoundHandler(), slog.New(slog.DiscardHandler)))
	t.Cleanup(server.Close)
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	h, err := upstream.New(upstream.Options{
		HostName: "example.com", Address: "127.0.0.1", HTTPSPort: server.Listener.Addr().(*net.TCPAddr).Port, Roots: pool,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return f, h, server.URL
}

func TestOurUplinkReadsWhatIsWritten(t *testing.T) {
	f, h, _ := serve(t)
	for name, c := range map[string]struct{ creds, want iot.Credentials }{
		"itself":      {iot.Credentials{Identity: lower, Token: "good"}, iot.Credentials{Identity: lower, Token: "good"}},
		"on behalf":   {iot.Credentials{Identity: lower, Token: "good", AuthChain: "lower/$edgeHub;lower;middle"}, iot.Credentials{Identity: lower, Token: "good"}},
		"a long line": {iot.Credentials{Identity: lower, Token: "good", AuthChain: "lower/$edgeHub;lower;middle;upper"}, iot.Credentials{Identity: lower, Token: "good"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []iot.Registration
			for next := ""; ; {
				page, err := h.InScope(t.Context(), c.creds, next)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, page.Identities...)
				if next = page.Next; next == "" {
					break
				}
			}
			byName := func(list []iot.Registration) map[iot.Identity]iot.Registration {
				m := map[iot.Identity]iot.Registration{}
				for _, r := range list {
					m[r.Identity] = r
				}
				return m
			}
			if diff := cmp.Diff(byName(everyone), byName(got)); diff != "" {
				t.Errorf("-written +read\n%s", diff)
			}
			if diff := cmp.Diff(c.want, f.asked); diff != "" {
				t.Errorf("asked as: %s", diff)
			}
		})
	}
}

func TestLookup(t *testing.T) {
	_, h, _ := serve(t)
	creds := iot.Credentials{Identity: lower, Token: "good"}
	regs, err := h.Lookup(t.Context(), creds, iot.DeviceIdentity("pump+7'"))
	if err != nil || len(regs) != 1 || regs[0].Auth.PrimaryThumbprint != "AB" || regs[0].Enabled {
		t.Errorf("%+v, %v", regs, err)
	}
	if _, err := h.Lookup(t.Context(), creds, iot.DeviceIdentity("nobody")); iot.KindOf(err) != iot.NotFound {
		t.Errorf("nobody: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	_, _, url := serve(t)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // a test's own server
	defer client.CloseIdleConnections()
	const own = "/devices/lower/modules/$edgeHub/"
	for name, c := range map[string]struct {
		method, path, token, body string
		status                    int
		says                      string
	}{
		"a bad token":            {"GET", own + "devicesAndModulesInDeviceScope", "bad", "", 401, `{"Message":"unauthorized"}`},
		"another path":           {"GET", "/devices/lower", "good", "", 404, ""},
		"another method":         {"DELETE", own + "devicesAndModulesInDeviceScope", "good", "", 404, ""},
		"no target":              {"GET", own + "deviceAndModuleInDeviceScope", "good", "", 400, "the target"},
		"a target like a path":   {"GET", own + "deviceAndModuleInDeviceScope?targetDeviceId=..%2Fx", "good", "", 400, "the target"},
		"a body that is no JSON": {"POST", own + "getDeviceAndModuleOnBehalfOf", "good", "{", 400, "the body"},
		"no chain":               {"POST", own + "getDeviceAndModuleOnBehalfOf", "good", "{}", 400, "authChain"},
		"a body without end":     {"POST", own + "getDeviceAndModuleOnBehalfOf", "good", `"` + strings.Repeat("x", maxBody), 400, "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), c.method, url+c.path, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", c.token)
			resp, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close() //nolint:errcheck // read to its end
			text, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != c.status || !strings.Contains(string(text), c.says) || strings.Contains(string(text), "secret") {
				t.Errorf("answered %d %s, want %d with %q", resp.StatusCode, text, c.status, c.says)
			}
		})
	}
}

func FuzzQuestions(f *testing.F) {
	const own = "/devices/d/modules/%24edgeHub/"
	f.Add("GET", own+"devicesAndModulesInDeviceScope?continuationToken=1", "")
	f.Add("POST", own+"getDeviceAndModuleOnBehalfOf", `{"authChain":"a;b","targetDeviceId":"x"}`)
	f.Add("POST", own+"devicesAndModulesInTargetDeviceScope", `{"authChain":";"}`)
	handler := Handler(&fakeScopes{regs: everyone}, http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	f.Fuzz(func(t *testing.T, method, path, body string) {
		r, err := http.NewRequestWithContext(t.Context(), method, "https://h"+path, strings.NewReader(body))
		if err != nil {
			return
		}
		r.Header.Set("Authorization", "good")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code == http.StatusInternalServerError {
			t.Errorf("%s %s: %d %s", method, path, w.Code, w.Body)
		}
	})
}
