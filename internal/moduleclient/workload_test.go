package moduleclient

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"sluice/internal/pki"
	"sluice/internal/sas"
	"sluice/internal/sockettest"
	"sluice/internal/workload"
	"sluice/iot"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const moduleKey = iot.Secret("bW9kdWxlIGtleQ==") // "module key"

// A leaf's key is what openssl makes of the module's key and the leaf's id:
//
//	printf leaf-1 | openssl dgst -sha256 -mac HMAC -macopt key:'module key' -binary | base64
func TestALeafsKeyComesFromTheWorkloadAPI(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no Unix sockets for modules there")
	}
	api, err := workload.New(workload.Options{
		Device: iot.DeviceIdentity("edge"), Hub: "hub.test",
		Keys: func(_ context.Context, module string) (iot.Secret, string, bool) {
			return moduleKey, "7", module == "it m"
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	socket, err := api.Listen(filepath.Join(sockettest.Dir(t), "s.sock"), "it m", workload.Access{UID: -1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var serving sync.WaitGroup
	serving.Go(func() { _ = socket.Serve(ctx) })
	defer serving.Wait()
	defer stop()
	w, err := newWorkloadAPI(Environment{
		Identity: iot.ModuleIdentity("edge", "it m"), Generation: "7", Workload: "unix://" + socket.Path(), APIVersion: "2019-01-30",
	})
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	c := newClient(Environment{}, Options{})
	c.sign = w.sign
	got, err := c.LeafKey(t.Context(), "leaf-1")
	want, _ := sas.DeriveKey(moduleKey, "leaf-1")
	if err != nil || got != want {
		t.Errorf("%q, %v, want %q", got.Reveal(), err, want.Reveal())
	}
	mac := hmac.New(sha256.New, []byte("module key"))
	mac.Write([]byte("leaf-1"))
	if key, err := sas.DecodeKey(got); err != nil || !hmac.Equal(key, mac.Sum(nil)) {
		t.Errorf("%x, %v", key, err)
	}
}

func TestTheTrustBundleIsWhatTheGatewayIsCheckedBy(t *testing.T) {
	root, err := pki.NewRoot("root", pki.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		answer string
		status int
		fails  bool
		system bool // what the system trusts
	}{
		"a certificate": {`{"certificate":` + quote(string(root.CertPEM())) + `}`, 200, false, false},
		"nothing":       {`{"certificate":""}`, 200, false, true},
		"no PEM":        {`{"certificate":"x"}`, 200, true, false},
		"no JSON":       {`x`, 200, true, false},
		"an error":      {`{"message":"no"}`, 404, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/trust-bundle" || r.URL.Query().Get("api-version") != "2019-01-30" {
					t.Errorf("%v", r.URL)
				}
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.answer))
			}))
			defer server.Close()
			env := Environment{Gateway: "g", Workload: server.URL, APIVersion: "2019-01-30"}
			w, err := newWorkloadAPI(env)
			if err != nil {
				t.Fatal(err)
			}
			defer w.close()
			pool, err := newClient(env, Options{}).roots(t.Context(), w)
			if (err != nil) != c.fails || !c.fails && (pool == nil) != c.system {
				t.Errorf("%v, %v", pool, err)
			}
		})
	}
}

func quote(s string) string { return `"` + strings.ReplaceAll(s, "\n", `\n`) + `"` }

func TestAWorkloadURIThatIsNone(t *testing.T) {
	for _, uri := range []string{"", "ftp://x", "://"} {
		if _, err := newWorkloadAPI(Environment{Workload: uri}); err == nil {
			t.Errorf("%q is taken", uri)
		}
	}
}

// A module that nobody signs for does not connect, and says why.
func TestNoWorkloadAPI(t *testing.T) {
	path := filepath.Join(sockettest.Dir(t), "gone.sock")
	if l, err := net.Listen("unix", path); err == nil {
		_ = l.Close()
	}
	w, err := newWorkloadAPI(Environment{Identity: iot.ModuleIdentity("e", "m"), Workload: "unix://" + path})
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(Environment{Identity: iot.ModuleIdentity("e", "m")}, Options{})
	c.sign, c.close = w.sign, w.close
	defer c.Close()
	if _, err := c.Connect(t.Context(), iot.Client{}); err == nil || iot.KindOf(err) != iot.Unavailable || !strings.Contains(err.Error(), "workload API") {
		t.Errorf("%v", err)
	}
}
