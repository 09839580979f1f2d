package service

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/internal/hub/code"
	"sluice/internal/sas"
	"sluice/iot"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hubName is the name that the certificate of httptest is for.
const hubName = "example.com"

var policy = sas.ConnectionString{HostName: hubName, PolicyName: "registryReadWrite", Key: "c2VjcmV0IHNlY3JldCBzZWNyZXQ="}

// newClient makes a client of a hub that is handler, and notes its pauses.
func newClient(t *testing.T, handler http.HandlerFunc) (c *Client, pauses *[]time.Duration) {
	t.Helper()
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	a := server.Listener.Addr().(*net.TCPAddr)
	c, err := New(policy, Options{Roots: roots, Address: a.IP.String(), Port: a.Port})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	pauses = new([]time.Duration)
	c.pause = func(_ context.Context, d time.Duration) error {
		*pauses = append(*pauses, d)
		return nil
	}
	return c, pauses
}

func TestRequestsAreWhatAHubUnderstands(t *testing.T) {
	type seen struct{ Method, Path, IfMatch, Body string }
	var got seen
	c, _ := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		token, err := sas.Parse(r.Header.Get("Authorization"))
		if err != nil || !token.SignedBy(policy.Key) || token.Policy != policy.PolicyName || token.Resource.String() != hubName || token.Expired(time.Now()) {
			t.Errorf("the token is not good: %+v, %v", token, err)
		}
		if v := r.URL.Query().Get("api-version"); v != "2021-04-12" {
			t.Errorf("api-version %q", v)
		}
		body, _ := io.ReadAll(r.Body)
		got = seen{r.Method, r.URL.EscapedPath(), r.Header.Get("If-Match"), string(body)}
		if r.URL.Path == "/devices" || strings.HasSuffix(r.URL.Path, "/modules") {
			fmt.Fprint(w, `[]`)
			return
		}
		fmt.Fprint(w, `{}`)
	})
	ctx, id := t.Context(), iot.ModuleIdentity("a+b", "$m")
	for _, tt := range []struct {
		name string
		call func() error
		want seen
	}{
		{"show", func() error { _, err := c.Device(ctx, "a%#?+"); return err }, seen{"GET", "/devices/a%25%23%3F%2B", "", ""}},
		{"create", func() error {
			_, err := c.CreateDevice(ctx, Device{DeviceID: "d", Status: "enabled", ETag: "e", ConnectionState: "Connected"})
			return err
		}, seen{"PUT", "/devices/d", "", `{"deviceId":"d","status":"enabled"}`}},
		{"update", func() error {
			_, err := c.UpdateDevice(ctx, Device{DeviceID: "d", ETag: "e", Authentication: &Authentication{
				Type: iot.AuthSelfSigned, SymmetricKey: &SymmetricKey{}, X509Thumbprint: &Thumbprints{PrimaryThumbprint: "AB"}}})
			return err
		}, seen{"PUT", "/devices/d", `"e"`, `{"deviceId":"d","authentication":{"symmetricKey":{"primaryKey":null,"secondaryKey":null},` +
			`"x509Thumbprint":{"primaryThumbprint":"AB","secondaryThumbprint":null},"type":"selfSigned"}}`}},
		{"update whatever is there", func() error { _, err := c.UpdateDevice(ctx, Device{DeviceID: "d"}); return err },
			seen{"PUT", "/devices/d", `"*"`, `{"deviceId":"d"}`}},
		{"delete", func() error { return c.Delete(ctx, id, "") }, seen{"DELETE", "/devices/a%2Bb/modules/%24m", `"*"`, ""}},
		{"delete this one", func() error { return c.Delete(ctx, id, "e") }, seen{"DELETE", "/devices/a%2Bb/modules/%24m", `"e"`, ""}},
		{"modules", func() error { _, err := c.Modules(ctx, "d"); return err }, seen{"GET", "/devices/d/modules", "", ""}},
		{"create module", func() error {
			_, err := c.CreateModule(ctx, Module{DeviceID: "d", ModuleID: "m", ManagedBy: "me"})
			return err
		}, seen{"PUT", "/devices/d/modules/m", "", `{"deviceId":"d","moduleId":"m","managedBy":"me"}`}},
		{"update module", func() error {
			_, err := c.UpdateModule(ctx, Module{DeviceID: "d", ModuleID: "m", ETag: "e"})
			return err
		}, seen{"PUT", "/devices/d/modules/m", `"e"`, `{"deviceId":"d","moduleId":"m"}`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.call(); err != nil {
				t.Fatal(err)
			}
			if got != tt.want {
				t.Errorf("asked\n%+v, want\n%+v", got, tt.want)
			}
		})
	}
}

func TestARefusalCarriesTheHubsOwnCodeAndWords(t *testing.T) {
	for _, tt := range []struct {
		name, header, body string
		status             int
		kind               iot.Kind
		is                 code.Code
		text               string
	}{
		{"as Azure says it", "", `{"Message":"ErrorCode:DeviceNotFound;E2","ExceptionMessage":"Tracking ID:abc-G:1"}`, 404,
			iot.NotFound, code.DeviceNotFound, "show d: not found: E2: DeviceNotFound (404)"},
		{"in the header", "PreconditionFailed", `{"Message":"ErrorCode:X;changed"}`, 412,
			iot.PreconditionFailed, code.PreconditionFailed, "show d: precondition failed: changed: PreconditionFailed (412)"},
		{"a proxy in between", "", `<html>no</html>`, 403, iot.Forbidden, 0, "show d: forbidden: HTTP status 403"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
				if tt.header != "" {
					w.Header().Set("iothub-errorcode", tt.header)
				}
				w.WriteHeader(tt.status)
				fmt.Fprint(w, tt.body)
			})
			_, err := c.Device(t.Context(), "d")
			if iot.KindOf(err) != tt.kind || err.Error() != tt.text {
				t.Errorf("error %q of kind %v, want %q of %v", err, iot.KindOf(err), tt.text, tt.kind)
			}
			if tt.is != 0 && !errors.Is(err, tt.is) {
				t.Errorf("%v is not %v", err, tt.is)
			}
			if errors.Is(err, code.ServerError) {
				t.Errorf("%v is ServerError", err)
			}
		})
	}
}

func TestWhatTheHubWasTooBusyForIsTriedAgain(t *testing.T) {
	for _, tt := range []struct {
		name       string
		status     int
		retryAfter string
		write      bool
		asked      int32
	}{
		{"throttled read", 429, "", false, 4},
		{"throttled write: nothing was done", 429, "", true, 4},
		{"unavailable", 503, "1", true, 4},
		{"a wait that is too long for anybody", 503, "3600", false, 1},
		{"an error of the hub: perhaps it was done", 500, "", true, 1},
		{"refused", 409, "", true, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var asked atomic.Int32
			c, pauses := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
				asked.Add(1)
				if tt.retryAfter != "" {
					w.Header().Set("Retry-After", tt.retryAfter)
				}
				w.WriteHeader(tt.status)
			})
			var err error
			if tt.write {
				_, err = c.CreateDevice(t.Context(), Device{DeviceID: "d"})
			} else {
				_, err = c.Device(t.Context(), "d")
			}
			var r *Refusal
			if !errors.As(err, &r) || r.Status != tt.status || asked.Load() != tt.asked {
				t.Errorf("asked %d times, want %d; %v", asked.Load(), tt.asked, err)
			}
			for i, p := range *pauses {
				low := max(firstPause<<i, r.RetryAfter)
				if p < low || p > max(low, firstPause<<i*3/2) {
					t.Errorf("pause %d is %v, want %v to half more", i, p, low)
				}
			}
		})
	}
}

func TestABrokenConnectionIsTriedAgainForReadsOnly(t *testing.T) {
	for _, tt := range []struct {
		method string
		want   int32
	}{{"GET", 2}, {"PUT", 1}} {
		t.Run(tt.method, func(t *testing.T) {
			var asked atomic.Int32
			c, _ := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
				if asked.Add(1) == 1 {
					w.Header().Set("Content-Length", "10")
					fmt.Fprint(w, "{")
					w.(http.Flusher).Flush()
					panic(http.ErrAbortHandler)
				}
				fmt.Fprint(w, `{"deviceId":"d"}`)
			})
			var err error
			if tt.method == "GET" {
				_, err = c.Device(t.Context(), "d")
			} else {
				_, err = c.CreateDevice(t.Context(), Device{DeviceID: "d"})
			}
			if asked.Load() != tt.want || (err == nil) != (tt.want == 2) {
				t.Errorf("asked %d times, want %d; %v", asked.Load(), tt.want, err)
			}
		})
	}
}

func TestAHubThatIsNotThereIsSaidAtOnce(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	c, err := New(policy, Options{Address: "127.0.0.1", Port: port})
	if err != nil {
		t.Fatal(err)
	}
	c.pause = func(context.Context, time.Duration) error { t.Error("it waited"); return nil }
	_, err = c.Device(t.Context(), "d")
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "dial" {
		t.Errorf("error %v, want one of dialling", err)
	}
}

func TestListingGoesOnWhereTheHubLetsIt(t *testing.T) {
	serve := func(total int, goesOn bool) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			var from, top int
			_, _ = fmt.Sscan(r.Header.Get(continuation), &from)
			_, _ = fmt.Sscan(r.URL.Query().Get("top"), &top)
			page := []Device{}
			for i := from; i < min(from+top, total); i++ {
				page = append(page, Device{DeviceID: fmt.Sprint(i)})
			}
			if goesOn && len(page) == top {
				w.Header().Set(continuation, fmt.Sprint(from+top))
			}
			_ = json.NewEncoder(w).Encode(page)
		}
	}
	for _, tt := range []struct {
		name         string
		total, limit int
		goesOn       bool
		want         int
		more         bool
	}{
		{"few", 7, 5000, true, 7, false},
		{"none", 0, 5000, true, 0, false},
		{"many", 2500, 5000, true, 2500, false},
		{"exactly a page", 1000, 5000, true, 1000, false},
		{"more than asked for", 2500, 1500, true, 1500, true},
		{"Azure stops at a page", 2500, 5000, false, 1000, true},
		{"Azure with few", 999, 5000, false, 999, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := newClient(t, serve(tt.total, tt.goesOn))
			list, more, err := c.Devices(t.Context(), tt.limit)
			if err != nil || len(list) != tt.want || more != tt.more {
				t.Fatalf("%d devices, more %v, %v; want %d, %v", len(list), more, err, tt.want, tt.more)
			}
			for i := range list {
				if list[i].DeviceID != fmt.Sprint(i) {
					t.Fatalf("device %d is %q", i, list[i].DeviceID)
				}
			}
		})
	}
}

func TestNewRefusesWhatIsNoPolicy(t *testing.T) {
	for what, cs := range map[string]sas.ConnectionString{
		"a device":      {HostName: "h", Identity: iot.DeviceIdentity("d"), Key: "a2V5"},
		"no key":        {HostName: "h", PolicyName: "p"},
		"half a key":    {HostName: "h", PolicyName: "p", Key: "not base64!"},
		"port in words": {HostName: "h:what", PolicyName: "p", Key: "a2V5"},
	} {
		if _, err := New(cs, Options{}); err == nil {
			t.Errorf("New took %s", what)
		}
	}
}
