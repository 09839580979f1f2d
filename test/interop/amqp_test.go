package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/internal/hub"
	"sluice/internal/hub/host"
	"sluice/internal/hub/storage"
	"sluice/internal/pki"
	"sluice/iot"
)

// An amqpHub is a hub in this process, on the standard port for AMQP, since the SDK
// knows no other.
type amqpHub struct {
	t    *testing.T
	host *host.Host
	hub  *hub.Hub
	ip   string
	dir  string
}

func newAMQPHub(t *testing.T, change func(*host.Config)) *amqpHub {
	t.Helper()
	requireStandardPorts(t)
	requireServiceSDK(t)
	h := &amqpHub{t: t, ip: fmt.Sprintf("127.%d.%d.3", 64+rand.N(64), rand.N(256)), dir: t.TempDir()}
	cfg := host.Config{Dir: h.dir, Address: h.ip, MQTTPort: -1, HTTPSPort: -1,
		Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))}
	if change != nil {
		change(&cfg)
	}
	var err error
	if h.host, err = host.Open(cfg); err != nil {
		t.Fatal(err)
	}
	h.hub = h.host.Hub().(*hub.Hub)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.host.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the hub ended: %v", err)
		}
	})
	return h
}

func (h *amqpHub) root() string { return filepath.Join(h.dir, "root.pem") }

// register makes an identity that proves itself as auth says, and returns its
// connection string.
func (h *amqpHub) register(id iot.Identity, auth iot.Authentication) string {
	h.t.Helper()
	made, err := h.host.Registry().Create(storage.Entry{Registration: iot.Registration{Identity: id, Enabled: true, Auth: auth}})
	if err != nil {
		h.t.Fatal(err)
	}
	text := fmt.Sprintf("HostName=%s;DeviceId=%s", h.ip, id.Device)
	if id.IsModule() {
		text += ";ModuleId=" + id.Module
	}
	if auth.Type != iot.AuthSAS {
		return text + ";x509=true"
	}
	return text + ";SharedAccessKey=" + made[0].Auth.PrimaryKey.Reveal()
}

var bySAS = iot.Authentication{Type: iot.AuthSAS}

// node runs a script to its end.
func (h *amqpHub) node(args ...string) string {
	h.t.Helper()
	cmd := exec.CommandContext(h.t.Context(), "node", args...)
	cmd.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+h.root())
	return output(h.t, cmd)
}

// expect reads the hub's events until it has seen n messages of an identity, and
// checks that they are whole and in order.
func (h *amqpHub) expect(id iot.Identity, n int) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), time.Minute)
	defer cancel()
	got := make(chan iot.Message)
	for p := range h.host.Events().Partitions() {
		r, err := h.host.Events().Reader(p, storage.Earliest())
		if err != nil {
			h.t.Fatal(err)
		}
		go func() {
			for {
				events, err := r.Read(ctx, 1000)
				if err != nil {
					return
				}
				for _, e := range events {
					select {
					case got <- e.Message:
					case <-ctx.Done():
						return
					}
				}
			}
		}()
	}
	for i := 1; i <= n; i++ {
		select {
		case m := <-got:
			if m.Sender() != id {
				i--
				continue
			}
			text, _ := m.Properties.Get("n")
			if want := strconv.Itoa(i); text != want || string(m.Body) != `{"n":`+want+`}` || m.System.Get(iot.MessageID) != "m"+want ||
				m.System.Get(iot.ContentType) != "application/json" || m.System.Get(iot.ContentEncoding) != "utf-8" {
				h.t.Fatalf("message %d is %+v", i, m)
			}
		case <-ctx.Done():
			h.t.Fatalf("%d of %d messages are at the hub", i-1, n)
		}
	}
}

func TestTelemetryOfTheDeviceSDKOverAMQP(t *testing.T) {
	h := newAMQPHub(t, nil)
	for _, id := range []iot.Identity{iot.DeviceIdentity("pump+7'(#1)"), iot.ModuleIdentity("pump+7'(#1)", "filter")} {
		client := h.register(id, bySAS)
		h.node("js/send.js", client, h.root(), "500", "amqp")
		h.expect(id, 500)
	}
}

// A device known by its thumbprint, and one by its authority.
func TestCertificatesOfTheDeviceSDKOverAMQP(t *testing.T) {
	dir := t.TempDir()
	authority, err := pki.NewRoot("devices", pki.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(dir, "devices.pem")
	if err := authority.WriteFiles(ca, filepath.Join(dir, "devices-key.pem"), false); err != nil {
		t.Fatal(err)
	}
	h := newAMQPHub(t, func(c *host.Config) { c.DeviceCA = ca })
	signed, err := authority.Device("valve", pki.Options{})
	if err != nil {
		t.Fatal(err)
	}
	own, err := pki.SelfSigned("meter", pki.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, thumbprint := pki.Thumbprints(own.Leaf())
	for _, tt := range []struct {
		device string
		auth   iot.Authentication
		pair   *pki.Pair
	}{
		{"valve", iot.Authentication{Type: iot.AuthCA}, signed},
		{"meter", iot.Authentication{Type: iot.AuthSelfSigned, PrimaryThumbprint: thumbprint, SecondaryThumbprint: thumbprint}, own},
	} {
		t.Run(tt.device, func(t *testing.T) {
			cert, key := filepath.Join(dir, tt.device+".pem"), filepath.Join(dir, tt.device+".key")
			if err := tt.pair.WriteFiles(cert, key, false); err != nil {
				t.Fatal(err)
			}
			id := iot.DeviceIdentity(tt.device)
			h.node("js/send.js", h.register(id, tt.auth), h.root(), "20", "amqp", "0", cert, key)
			h.expect(id, 20)
		})
	}
}

// A device and a module that do everything.
func TestEverythingOfTheDeviceSDKOverAMQP(t *testing.T) {
	h := newAMQPHub(t, nil)
	device, module := iot.DeviceIdentity("pump-7"), iot.ModuleIdentity("pump-7", "filter")
	for _, id := range []iot.Identity{device, module} {
		t.Run(id.String(), func(t *testing.T) { h.everything(t, id) })
	}
}

func (h *amqpHub) everything(t *testing.T, id iot.Identity) {
	text := h.register(id, bySAS)
	if _, err := h.hub.PatchTwin(id, json.RawMessage(`{"properties":{"desired":{"interval":5}}}`), ""); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", "js/device.js", text, h.root(), "amqp")
	cmd.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+h.root())
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	d := launch(t, "device.js", cmd)
	d.until(`twin {"interval":5,"$version":2}`, 1, time.Minute)
	d.until("listening", 1, time.Minute)

	if !id.IsModule() {
		h.settlements(t, id, d)
	}

	result := h.invoke(t, id, iot.MethodCall{Name: "echo", Payload: json.RawMessage(`{"a":[1,"ü"]}`)})
	if result.Status != 200 || string(result.Payload) != `{"echo":{"a":[1,"ü"]}}` {
		t.Errorf("the method's result is %d %s", result.Status, result.Payload)
	}

	if _, err := h.hub.PatchTwin(id, json.RawMessage(`{"properties":{"desired":{"interval":9}}}`), ""); err != nil {
		t.Fatal(err)
	}
	d.until(`"interval":9`, 1, time.Minute)
	twin, err := h.hub.Twin(id)
	if err != nil {
		t.Fatal(err)
	}
	if reported := string(twin.ForDevice().Reported); reported != `{"ready":true}` {
		t.Errorf("reported properties are %s", reported)
	}

	if _, err := stdin.Write([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	d.until("closed", 1, time.Minute)
	if h.hub.ConnectionState(id).Connected {
		t.Error("the hub believes the device to be there")
	}
}

// settlements has a device settle commands in every way, one after the other: of two
// settlements that wait, the SDK's AMQP library says that the second is like the first.
func (h *amqpHub) settlements(t *testing.T, id iot.Identity, d *running) {
	t.Helper()
	for _, c := range []struct {
		text, says     string
		comes, settled int
	}{
		{"complete", "completed", 1, 1},
		{"abandon", "completed", 2, 2},
		{"reject", "rejected", 1, 1},
	} {
		var m iot.Message
		m.Body = []byte(c.text)
		m.System.Set(iot.MessageID, "id-"+c.text)
		m.Properties.Set("k", "v")
		if err := h.hub.SendCommand(id, m); err != nil {
			t.Fatal(err)
		}
		d.until("command "+c.text+" id-"+c.text+" k=v", c.comes, time.Minute)
		d.until(c.says, c.settled, time.Minute)
	}
}

func (h *amqpHub) invoke(t *testing.T, id iot.Identity, call iot.MethodCall) iot.MethodResult {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	result, err := h.hub.InvokeMethod(ctx, id, call)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// What the SDK makes of the errors of a hub.
func TestRefusalsOfTheDeviceSDKOverAMQP(t *testing.T) {
	h := newAMQPHub(t, nil)
	id := iot.DeviceIdentity("pump-7")
	text := h.register(id, bySAS)
	for _, tt := range []struct{ name, text, want string }{
		{"wrong key", text[:len(text)-8] + "AAAAAAA=", "failed UnauthorizedError"},
		{"unknown device", strings.Replace(text, "pump-7", "pump-8", 1), "failed UnauthorizedError"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.Command("node", "js/device.js", tt.text, h.root(), "amqp")
			cmd.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+h.root())
			launch(t, "device.js", cmd).until(tt.want, 1, time.Minute)
		})
	}
	t.Run("disabled while connected", func(t *testing.T) {
		cmd := exec.Command("node", "js/device.js", text, h.root(), "amqp")
		cmd.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+h.root())
		d := launch(t, "device.js", cmd)
		d.until("listening", 1, time.Minute)
		e, _ := h.host.Registry().Get(id)
		e.Enabled = false
		if _, err := h.host.Registry().Update(e, ""); err != nil {
			t.Fatal(err)
		}
		d.until("disconnect UnauthorizedError", 1, time.Minute)
	})
}
