package workload

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/pki"
	"sluice/internal/sas"
	"sluice/internal/sockettest"
	"sluice/iot"
)

const (
	testKey  = iot.Secret("cAJL14F3ng34T2/Ss4qy858nq0vAXnFYX5jxXoLgKn4=")
	otherKey = iot.Secret("iMPhPFaG9gzPNeEW0WoyvMH0LT3uw14s1m67qv+gIC0=")
	testGen  = "637000000000000001"
)

// keys are of two modules, one without a key, and one whose key is none.
func keys(_ context.Context, module string) (key iot.Secret, generation string, ok bool) {
	switch module {
	case "filter", "$edgeHub", "module with space":
		return testKey, testGen, true
	case "other":
		return otherKey, "2", true
	case "x509":
		return "", "3", true
	case "broken":
		return "not base64: s3cret", "4", true
	}
	return "", "", false
}

var root = sync.OnceValues(func() (*pki.Authority, error) { return pki.NewRoot("Edge CA", pki.Options{}) })

// logged is what the API wrote to its log.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func testVault(t testing.TB) *Vault {
	t.Helper()
	key := make([]byte, vaultKeySize)
	for i := range key {
		key[i] = byte(i)
	}
	v, err := newVault(key)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func testAPI(t testing.TB, change func(*Options)) (*API, *logged) {
	t.Helper()
	log := new(logged)
	opt := Options{
		Device: iot.DeviceIdentity("edge#01"), Hub: "myhub.azure-devices.net", Keys: keys,
		Authority: root,
		Trust:     func() ([]byte, error) { return []byte("PEM"), nil },
		Vault:     testVault(t),
		Log:       slog.New(slog.NewTextHandler(log, nil)),
	}
	if change != nil {
		change(&opt)
	}
	api, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	return api, log
}

// A caller is a client of one module's socket.
type caller struct {
	t    *testing.T
	http http.Client
	path string
	log  *logged
}

// serve opens the socket of a module, until the test ends.
func serve(t *testing.T, api *API, log *logged, module string, access Access) *caller {
	t.Helper()
	s, err := api.Listen(filepath.Join(sockettest.Dir(t), "s"), module, access)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	c := &caller{t: t, path: s.Path(), log: log, http: http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", s.Path())
		},
	}}}
	t.Cleanup(func() {
		c.http.CloseIdleConnections()
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(s.Path()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is still there: %v", err)
		}
	})
	return c
}

func (c *caller) do(method, path, body string) (int, string) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, "http://any.sock:80"+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	answer, err := c.http.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	if err == nil {
		err = answer.Body.Close()
	}
	if err != nil {
		c.t.Fatal(err)
	}
	if kind := answer.Header.Get("Content-Type"); kind != "application/json" {
		c.t.Errorf("%s %s has content type %q", method, path, kind)
	}
	return answer.StatusCode, strings.TrimSpace(string(text))
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// The digests are those of IoT Edge's own daemon for the same keys.
func TestSignaturesAreThoseOfIoTEdge(t *testing.T) {
	api, log := testAPI(t, nil)
	c := serve(t, api, log, "$edgeHub", Access{UID: -1})
	for audience, want := range map[string]string{
		`myhub.azure-devices.net%2Fdevices%2Fedge%252301%2Fmodules%2F%2524edgeHub`: "HDHxxOjt427kqD33ehLDN48+rPmKZnWi6EOCBeRklFs=",
		`myhub.azure-devices.net%2Fdevices%2Fedge%2301%2Fmodules%2F%24edgeHub`:     "F1JBt6TF9wHDpLS83nqimOr2rOQc7zaPf230/+AojpM=",
	} {
		status, body := c.do("POST", "/modules/%24edgeHub/genid/"+testGen+"/sign?api-version=2018-06-28",
			`{"keyId":"primary","algo":"HMACSHA256","data":"`+b64(audience+"\n1700000000")+`"}`)
		if status != 200 || body != `{"digest":"`+want+`"}` {
			t.Errorf("%s: %d %s", audience, status, body)
		}
	}
}

// A token that a module makes with the API is one that a gateway lets in.
func TestTokenSignedByTheAPI(t *testing.T) {
	api, log := testAPI(t, nil)
	c := serve(t, api, log, "filter", Access{UID: -1})
	token, err := sas.SignWith(func(data []byte) ([]byte, error) {
		_, body := c.do("POST", "/modules/filter/genid/x/sign?api-version=2020-07-07", `{"data":"`+base64.StdEncoding.EncodeToString(data)+`"}`)
		var answer struct{ Digest []byte }
		err := json.Unmarshal([]byte(body), &answer)
		return answer.Digest, err
	}, sas.Resource{Host: "hub", Identity: iot.ModuleIdentity("edge", "filter")}, "", time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if parsed, err := sas.Parse(token); err != nil || !parsed.SignedBy(testKey) || parsed.SignedBy(otherKey) {
		t.Errorf("%s: %v", token, err)
	}
}

func TestWhatIsRefused(t *testing.T) {
	api, log := testAPI(t, nil)
	c := serve(t, api, log, "filter", Access{UID: -1})
	sign, v := "/modules/filter/genid/1/sign", "?api-version=2019-01-30"
	good := `{"data":"` + b64("x") + `"}`
	large := `{"data":"` + strings.Repeat("A", maxBody) + `"}`
	for _, tt := range []struct {
		name, method, path, body string
		status                   int
		text                     string
	}{
		{"no version", "POST", sign, good, 400, "api-version not specified"},
		{"unknown version", "POST", sign + "?api-version=2017-01-01", good, 400, `invalid api-version \"2017-01-01\"`},
		{"unknown path", "POST", "/modules/filter/genid/1/steal" + v, good, 404, "not found"},
		{"no path", "GET", "/" + v, "", 404, "not found"},
		{"the old list of modules", "GET", "/modules" + v, "", 404, "not found"},
		{"wrong method", "GET", sign + v, "", 400, "method not allowed"},
		{"trust bundle with POST", "POST", "/trust-bundle" + v, "{}", 400, "method not allowed"},
		{"another module", "POST", "/modules/other/genid/2/sign" + v, good, 403, "forbidden"},
		{"another module by an escaped name", "POST", "/modules/%6fther/genid/2/sign" + v, good, 403, "forbidden"},
		{"another module by case", "POST", "/modules/Filter/genid/2/sign" + v, good, 403, "forbidden"},
		{"another module by dots", "POST", "/modules/filter%2f..%2fother/genid/2/sign" + v, good, 403, "forbidden"},
		{"another module's certificate", "POST", "/modules/other/certificate/identity" + v, "{}", 403, "forbidden"},
		{"no body", "POST", sign + v, "", 400, "missing parameter: request body"},
		{"no JSON", "POST", sign + v, "{", 422, "unexpected end of JSON input"},
		{"no data", "POST", sign + v, "{}", 422, "missing field `data`"},
		{"no base64", "POST", sign + v, `{"data":"@"}`, 400, "invalid parameter: data: illegal base64 data at input byte 0"},
		{"base64 without padding", "POST", sign + v, `{"data":"QQ"}`, 400, "invalid parameter: data: illegal base64 data at input byte 0"},
		{"too large", "POST", sign + v, large, 413, "the request has more than 4194304 bytes"},
		{"not of this generation", "POST", "/modules/filter/genid/1/encrypt" + v, `{"plaintext":"QQ==","initializationVector":"QQ=="}`, 404, `the module is not of generation \"1\"`},
		{"no vector", "POST", "/modules/filter/genid/" + testGen + "/encrypt" + v, `{"plaintext":"QQ=="}`, 422, "missing field `initializationVector`"},
		{"empty vector", "POST", "/modules/filter/genid/" + testGen + "/encrypt" + v, `{"plaintext":"QQ==","initializationVector":""}`, 500, "the initialization vector is empty"},
		{"no common name", "POST", "/modules/filter/genid/1/certificate/server" + v, `{}`, 422, "missing field `commonName`"},
		{"long common name", "POST", "/modules/filter/genid/1/certificate/server" + v, `{"commonName":"` + strings.Repeat("a", 65) + `"}`, 400, "invalid parameter: commonName: longer than 64 characters"},
		{"no common name at all", "POST", "/modules/filter/genid/1/certificate/server" + v, `{"commonName":"a b"}`, 400, "invalid parameter: commonName"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, body := c.do(tt.method, tt.path, tt.body)
			if status != tt.status || !strings.HasPrefix(body, `{"message":"`+tt.text) {
				t.Errorf("%d %s, want %d %s", status, body, tt.status, tt.text)
			}
		})
	}
}

func TestModuleWithoutAKeyIsToldSo(t *testing.T) {
	api, log := testAPI(t, nil)
	for module, want := range map[string]string{
		"x509":    "the module has no symmetric key at the hub",
		"unknown": "the hub knows no such module of this device, or has not been asked yet",
		"broken":  "key is not base64 text",
	} {
		c := serve(t, api, log, module, Access{UID: -1})
		status, body := c.do("POST", "/modules/"+module+"/genid/1/sign?api-version=2019-01-30", `{"data":"QQ=="}`)
		if status != 500 || body != `{"message":"`+want+`"}` {
			t.Errorf("%s: %d %s", module, status, body)
		}
	}
}

func TestS12_NoKeyIsInAnAnswerOrTheLog(t *testing.T) {
	api, log := testAPI(t, nil)
	var said strings.Builder
	for _, module := range []string{"filter", "broken", "x509"} {
		c := serve(t, api, log, module, Access{UID: -1})
		for _, path := range []string{"/genid/1/sign", "/genid/4/encrypt", "/genid/4/decrypt", "/genid/1/certificate/server", "/certificate/identity"} {
			for _, body := range []string{"", "{}", `{"data":"QQ==","plaintext":"QQ==","ciphertext":"QQ==","initializationVector":"QQ=="}`} {
				_, text := c.do("POST", "/modules/"+module+path+"?api-version=2019-01-30", body)
				said.WriteString(text)
			}
		}
	}
	for _, secret := range []string{testKey.Reveal(), "s3cret", otherKey.Reveal()} {
		if strings.Contains(said.String(), secret) {
			t.Errorf("an answer has the key %q in it", secret)
		}
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log has the key %q in it", secret)
		}
	}
}

func TestTrustBundle(t *testing.T) {
	for name, tt := range map[string]struct {
		trust  func() ([]byte, error)
		status int
		body   string
	}{
		"there is one": {func() ([]byte, error) { return []byte("PEM\n"), nil }, 200, `{"certificate":"PEM\n"}`},
		"unreadable":   {func() ([]byte, error) { return nil, errors.New("/etc/secret: gone") }, 404, `{"message":"not found"}`},
		"empty":        {func() ([]byte, error) { return nil, nil }, 404, `{"message":"not found"}`},
		"none":         {nil, 404, `{"message":"not found"}`},
	} {
		t.Run(name, func(t *testing.T) {
			api, log := testAPI(t, func(o *Options) { o.Trust = tt.trust })
			c := serve(t, api, log, "filter", Access{UID: -1})
			if status, body := c.do("GET", "/trust-bundle?api-version=2019-01-30", ""); status != tt.status || body != tt.body {
				t.Errorf("%d %s", status, body)
			}
			if status, body := c.do("GET", "/manifest-trust-bundle?api-version=2020-07-07", ""); status != 200 || body != `{"certificate":""}` {
				t.Errorf("of manifests: %d %s", status, body)
			}
		})
	}
}
