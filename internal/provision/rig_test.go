package provision

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/internal/await"
	"sluice/internal/hub/host"
	"sluice/internal/hub/storage"
	"sluice/internal/leafwire"
	"sluice/internal/sas"
	"sluice/internal/service"
	"sluice/iot"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A site is a hub with the edge devices site-1 and site-2, each with a module itm.
type site struct {
	t      testing.TB
	hub    *host.Host
	client *service.Client
	log    *slog.Logger
}

func newSite(t testing.TB) *site {
	t.Helper()
	h, err := host.Open(host.Config{Dir: filepath.Join(t.TempDir(), "hub"), MQTTPort: -1, AMQPPort: -1, HTTPSPort: -1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	s := &site{t: t, hub: h, log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))}
	cs, opt := s.reach(storage.OwnerPolicy)
	if s.client, err = service.New(cs, opt); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.client.Close)
	for _, edge := range []string{"site-1", "site-2"} {
		s.create(service.Device{DeviceID: edge, Status: "enabled", Capabilities: &service.Capabilities{IoTEdge: true}})
		if _, err := s.client.CreateModule(ctx, service.Module{DeviceID: edge, ModuleID: "itm"}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *site) reach(policy string) (sas.ConnectionString, service.Options) {
	s.t.Helper()
	cs, err := sas.ParseConnectionString(s.hub.ConnectionString(policy))
	if err != nil {
		s.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.hub.RootPEM())
	a := s.hub.HTTPSAddr().(*net.TCPAddr)
	return cs, service.Options{Roots: roots, Address: a.IP.String(), Port: a.Port}
}

func (s *site) create(d service.Device) service.Device {
	s.t.Helper()
	made, err := s.client.CreateDevice(s.t.Context(), d)
	if err != nil {
		s.t.Fatal(err)
	}
	return made
}

func (s *site) device(id string) service.Device {
	s.t.Helper()
	d, err := s.client.Device(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

func (s *site) exists(id string) bool {
	_, found := s.hub.Registry().Get(iot.DeviceIdentity(id))
	return found
}

// keys are those that a leaf of site-N/itm must have.
func (s *site) keys(edge, leaf string) service.SymmetricKey {
	s.t.Helper()
	m, err := s.client.Module(s.t.Context(), iot.ModuleIdentity(edge, "itm"))
	if err != nil {
		s.t.Fatal(err)
	}
	by := translator{keys: *m.Authentication.SymmetricKey}
	keys, err := by.keysOf(leaf)
	if err != nil {
		s.t.Fatal(err)
	}
	return keys
}

// A module is a translation module that is connected to the hub.
type module struct {
	t       testing.TB
	id      iot.Identity
	session iot.Session

	mu    sync.Mutex
	calls []leafwire.Callback
}

// connect connects a module with its key, and notes how it is called.
func (s *site) connect(edge string) *module {
	s.t.Helper()
	m := &module{t: s.t, id: iot.ModuleIdentity(edge, "itm")}
	entry, _ := s.hub.Registry().Get(m.id)
	token, err := sas.Sign(entry.Auth.PrimaryKey, sas.Resource{Host: s.hub.HostName(), Identity: m.id}, "", time.Now().Add(time.Hour))
	if err != nil {
		s.t.Fatal(err)
	}
	m.session, err = s.hub.Hub().Connect(s.t.Context(), iot.Credentials{Identity: m.id, Token: token}, iot.Client{Protocol: "mqtt"})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = m.session.Close() })
	if _, err := m.session.Methods(m.called); err != nil {
		s.t.Fatal(err)
	}
	return m
}

func (m *module) called(call iot.MethodCall, reply func(iot.MethodResult)) {
	c, err := leafwire.ParseCallback(call.Payload)
	if err != nil || call.Name != leafwire.CallbackMethod {
		m.t.Errorf("called %s with %s: %v", call.Name, call.Payload, err)
	}
	m.mu.Lock()
	m.calls = append(m.calls, c)
	m.mu.Unlock()
	reply(iot.MethodResult{Status: 200})
}

// answers returns what the module was told of a leaf.
func (m *module) answers(leaf string) (codes []int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.calls {
		if c.DeviceID == leaf {
			codes = append(codes, c.ResultCode)
		}
	}
	return codes
}

func (m *module) told() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.calls)
}

// await waits for the nth answer about a leaf and returns it.
func (m *module) await(leaf string, n int) int {
	m.t.Helper()
	await.True(m.t, fmt.Sprintf("answer %d about %s", n, leaf), func() bool { return len(m.answers(leaf)) >= n })
	return m.answers(leaf)[n-1]
}

// ask sends a LeafEvent to the hub, as the module does.
func (m *module) ask(leaf string, o leafwire.Operation) {
	m.t.Helper()
	done := make(chan error, 1)
	e := leafwire.Event{LeafDeviceID: leaf, EdgeDeviceID: m.id.Device, EdgeModuleID: m.id.Module, Operation: o}
	m.session.Send([]iot.Message{e.Message()}, func(err error) { done <- err })
	if err := <-done; err != nil {
		m.t.Error(err)
	}
}

// A running is a Service at work.
type running struct {
	*Service
	t    testing.TB
	stop func()
}

const testCode = iot.Secret("open-sesame")

// list is an allow list from its lines.
func list(t testing.TB, lines ...string) func(string) Listing {
	t.Helper()
	l, err := ParseList([]byte(strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return l.Find
}

// start starts a service. It ends with the test, or with stop.
func (s *site) start(change func(*Config), sources ...func(*Service, context.Context) error) *running {
	s.t.Helper()
	cfg := Config{Hub: s.client, Allow: list(s.t, "prefix:leaf-", "exact"), Log: s.log}
	if change != nil {
		change(&cfg)
	}
	if cfg.Dir == "" {
		cfg.Dir = filepath.Join(s.t.TempDir(), "provision")
	}
	p, err := Open(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, cut := cfg.Hub.(*severed); cut {
		p.grace = 0
	}
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	ended := make(chan error, 1+len(sources))
	for _, source := range sources {
		group.Go(func() { ended <- source(p, ctx) })
	}
	work, stop := context.WithCancel(context.Background())
	go func() { ended <- p.Run(work) }()
	r := &running{Service: p, t: s.t}
	r.stop = sync.OnceFunc(func() {
		cancel()
		group.Wait()
		stop()
		for range 1 + len(sources) {
			if err := <-ended; err != nil {
				s.t.Error(err)
			}
		}
	})
	s.t.Cleanup(r.stop)
	return r
}

// event is one event in Event Grid's form, with its body as JSON.
func event(device, module, leaf, operation string) map[string]any {
	return map[string]any{
		"id": "1", "topic": "/SUBSCRIPTIONS/x", "subject": "devices/" + device, "eventType": typeTelemetry,
		"eventTime": time.Now().UTC(), "dataVersion": "", "metadataVersion": "1",
		"data": map[string]any{
			"properties": map[string]string{"itmtype": "LeafEvent"},
			"systemProperties": map[string]string{
				"iothub-connection-device-id": device, "iothub-connection-module-id": module,
				"iothub-content-type": "application/json", "iothub-content-encoding": "utf-8",
				"iothub-connection-auth-method": `{"scope":"module","type":"sas","issuer":"iothub"}`,
				"iothub-enqueuedtime":           time.Now().UTC().Format(time.RFC3339Nano), "iothub-message-source": "Telemetry",
			},
			"body": map[string]string{
				"hubHostname": "localhost", "leafDeviceId": leaf, "edgeDeviceId": device, "edgeModuleId": module, "operation": operation,
			},
		},
	}
}

// post posts to the service's handler.
func (r *running) post(body any) *httptest.ResponseRecorder {
	r.t.Helper()
	text, ok := body.(string)
	if !ok {
		b, err := json.Marshal(body)
		if err != nil {
			r.t.Fatal(err)
		}
		text = string(b)
	}
	w := httptest.NewRecorder()
	r.Handler(testCode).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/?code="+testCode.Reveal(), strings.NewReader(text)))
	return w
}

// ask posts a request of site-1/itm.
func (r *running) ask(leaf, operation string) {
	r.t.Helper()
	if w := r.post([]any{event("site-1", "itm", leaf, operation)}); w.Code != http.StatusOK {
		r.t.Fatalf("status %d: %s", w.Code, w.Body)
	}
}
