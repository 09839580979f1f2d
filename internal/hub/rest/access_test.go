package rest

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sluice/internal/hub/code"
	"sluice/internal/hub/storage"
	"sluice/internal/sas"
	"sluice/iot"
)

// askWith sends a request with this Authorization header.
func (h *testHub) askWith(method, path, authorization string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "https://"+hubName+path+"?api-version=2021-04-12", nil)
	r.Header.Set("Authorization", authorization)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestTokensThatProveNothingAreRefused(t *testing.T) {
	h := newHub(t)
	owner, _ := h.registry.Policy(storage.OwnerPolicy)
	reader, _ := h.registry.Policy(storage.ReadPolicy)
	if _, err := h.registry.Create(storage.Entry{Registration: iot.Registration{Identity: iot.DeviceIdentity("d"), Enabled: true}}); err != nil {
		t.Fatal(err)
	}
	device, _ := h.registry.Get(iot.DeviceIdentity("d"))
	hub := sas.Resource{Host: hubName}
	soon := h.now.Add(time.Minute)
	sign := func(key iot.Secret, r sas.Resource, policy string, expiry time.Time) string {
		token, err := sas.Sign(key, r, policy, expiry)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	good := sign(owner.Primary, hub, owner.Name, soon)
	for _, tt := range []struct {
		name, token string
		status      int
	}{
		{"the primary key", good, 200},
		{"the secondary key", sign(owner.Secondary, hub, owner.Name, soon), 200},
		{"the hub in capitals", sign(owner.Primary, sas.Resource{Host: "HUB.TEST"}, owner.Name, soon), 200},
		{"for this path", sign(owner.Primary, sas.Resource{Host: hubName, Identity: iot.DeviceIdentity("d")}, owner.Name, soon), 200},
		{"for all devices", sign(owner.Primary, sas.Resource{Host: hubName, Rest: "devices"}, owner.Name, soon), 200},
		{"for another device", sign(owner.Primary, sas.Resource{Host: hubName, Identity: iot.DeviceIdentity("e")}, owner.Name, soon), 401},
		{"for a module of it", sign(owner.Primary, sas.Resource{Host: hubName, Identity: iot.ModuleIdentity("d", "m")}, owner.Name, soon), 401},
		{"nothing", "", 401},
		{"no token", "Bearer abc", 401},
		{"expired", sign(owner.Primary, hub, owner.Name, h.now), 401},
		{"another policy's key", sign(reader.Primary, hub, owner.Name, soon), 401},
		{"no such policy", sign(owner.Primary, hub, "root", soon), 401},
		{"another hub", sign(owner.Primary, sas.Resource{Host: "other.test"}, owner.Name, soon), 401},
		{"a device's", sign(device.Auth.PrimaryKey, sas.Resource{Host: hubName, Identity: device.Identity}, "", soon), 401},
		{"a device's, with a policy's name", sign(device.Auth.PrimaryKey, hub, owner.Name, soon), 401},
		{"without a policy", sign(owner.Primary, hub, "", soon), 401},
		{"with a longer life than was signed", strings.Replace(good, "se=1", "se=2", 1), 401},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := h.askWith(http.MethodGet, "/devices/d", tt.token)
			if w.Code != tt.status {
				t.Errorf("status %d, want %d\n%s", w.Code, tt.status, h.log)
			}
			if w.Code == 401 && !strings.Contains(w.Body.String(), `;Unauthorized"`) {
				t.Errorf("the caller learns why: %s", w.Body)
			}
		})
	}
}

func TestTheLogSaysWhyUnderTheTrackingIDThatTheCallerGets(t *testing.T) {
	h := newHub(t)
	w := h.askWith(http.MethodGet, "/devices/d", "SharedAccessSignature sr=nonsense")
	_, tracking, ok := strings.Cut(w.Body.String(), "Tracking ID:")
	if !ok || len(tracking) < 32 {
		t.Fatalf("there is no tracking id: %s", w.Body)
	}
	if log := h.log.String(); !strings.Contains(log, tracking[:32]) || !strings.Contains(log, "malformed token") {
		t.Errorf("the log does not say what happened:\n%s", log)
	}
}

func TestBodiesAreBounded(t *testing.T) {
	h := newHub(t)
	for _, tt := range []struct {
		method, path string
		size, status int
	}{
		{http.MethodPut, "/devices/d", maxIdentity, 400}, // read, and not JSON
		{http.MethodPut, "/devices/d", maxIdentity + 1, 413},
		{http.MethodPost, "/devices", maxBulkBody, 400},
		{http.MethodPost, "/devices", maxBulkBody + 1, 413},
	} {
		w := h.ask(t, tt.method, tt.path, storage.OwnerPolicy, "", strings.Repeat("x", tt.size))
		if w.Code != tt.status {
			t.Errorf("%s %s of %d bytes: status %d, want %d", tt.method, tt.path, tt.size, w.Code, tt.status)
		}
	}
}

func TestADisabledGatewayLearnsNothing(t *testing.T) {
	h := newHub(t)
	ask := func(method, path, caller, body string) int { return h.ask(t, method, path, caller, "", body).Code }
	ask("PUT", "/devices/site", storage.OwnerPolicy, `{"deviceId":"site","capabilities":{"iotEdge":true}}`)
	const scope = "/devices/site/modules/$edgeHub/devicesAndModulesInDeviceScope"
	if got := ask("GET", scope, "site/$edgeHub", ""); got != 200 {
		t.Fatalf("status %d before", got)
	}
	h.ask(t, "PUT", "/devices/site", storage.OwnerPolicy, "*", `{"deviceId":"site","status":"disabled","capabilities":{"iotEdge":true}}`)
	for _, path := range []string{scope, "/devices/site/modules"} {
		if got := ask("GET", path, "site/$edgeHub", ""); got != 401 {
			t.Errorf("%s: status %d, want 401", path, got)
		}
	}
	if got := ask("GET", "/devices/site/modules", "site", ""); got != 401 {
		t.Errorf("its own modules: status %d, want 401", got)
	}
}

func TestAnEdgeDeviceWithACertificateManagesItsModules(t *testing.T) {
	h := newHub(t)
	server := httptest.NewTLSServer(h)
	t.Cleanup(server.Close)
	certificate := server.Certificate() // any will do
	thumbprint := sha256.Sum256(certificate.Raw)
	h.ask(t, "PUT", "/devices/site", storage.OwnerPolicy, "", `{"deviceId":"site","capabilities":{"iotEdge":true},`+
		`"authentication":{"x509Thumbprint":{"primaryThumbprint":"`+hex.EncodeToString(thumbprint[:])+`"}}}`)
	h.ask(t, "PUT", "/devices/leaf", storage.OwnerPolicy, "", `{"deviceId":"leaf"}`)
	for path, status := range map[string]int{
		"/devices/site/modules":          200,
		"/devices/site/modules/$edgeHub": 200,
		"/devices/leaf/modules":          401,
		"/devices/site":                  401,
		"/devices/site/modules/$edgeHub/devicesAndModulesInDeviceScope": 401,
	} {
		r := httptest.NewRequest(http.MethodGet, "https://"+hubName+path+"?api-version=2021-04-12", nil)
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{certificate}}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != status {
			t.Errorf("%s: status %d, want %d", path, w.Code, status)
		}
	}
}

func TestACallerLearnsThatADeviceDidNotAnswer(t *testing.T) {
	late := iot.Errorf(iot.Timeout, "method", iot.DeviceIdentity("lamp"), "timed out waiting for the response from device")
	if got := publicText(code.GatewayTimeout, late); got != "timed out waiting for the response from device" {
		t.Errorf("%q", got)
	}
	ours := iot.Errorf(iot.Internal, "twin", iot.DeviceIdentity("lamp"), "disk sda is full")
	if got := publicText(code.ServerError, ours); strings.Contains(got, "disk") {
		t.Errorf("%q", got)
	}
}
