package interop

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"sluice/internal/amqphead"
	"sluice/internal/hub/eventlog"
	"sluice/internal/hub/host"
	"sluice/internal/hub/registry"
	"sluice/internal/pki"
	"sluice/internal/tlsx"
	"sluice/iot"
)

// An amqpHub is a hub in this process that serves AMQP on the standard port, since
// the SDK knows no other.
type amqpHub struct {
	t    *testing.T
	host *host.Host
	ip   string
	dir  string
}

func newAMQPHub(t *testing.T) *amqpHub {
	t.Helper()
	requireStandardPorts(t)
	requireServiceSDK(t)
	h := &amqpHub{t: t, ip: fmt.Sprintf("127.%d.%d.3", 64+rand.N(64), rand.N(256)), dir: t.TempDir()}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
	var err error
	h.host, err = host.Open(host.Config{Dir: h.dir, Address: h.ip, MQTTPort: -1, HTTPSPort: -1, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	h.run(h.host.Run)
	h.serve(log)
	return h
}

func (h *amqpHub) run(f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := f(ctx); err != nil && ctx.Err() == nil {
			h.t.Errorf("ended early: %v", err)
		}
	}()
	h.t.Cleanup(func() { cancel(); <-done })
}

func (h *amqpHub) serve(log *slog.Logger) {
	h.t.Helper()
	authority, err := pki.ReadAuthority(h.root(), filepath.Join(h.dir, "root-key.pem"))
	if err != nil {
		h.t.Fatal(err)
	}
	pair, err := authority.Server([]string{h.ip}, pki.Options{})
	if err != nil {
		h.t.Fatal(err)
	}
	config := tlsx.ServerConfig(tlsx.NewCertificate(pair.TLS()))
	l, err := net.Listen("tcp", net.JoinHostPort(h.ip, "5671"))
	if err != nil {
		h.t.Fatal(err)
	}
	server := amqphead.New(h.host.Hub(), amqphead.Options{Log: log}).Server()
	h.run(func(ctx context.Context) error { return server.Serve(ctx, tls.NewListener(l, config)) })
}

func (h *amqpHub) root() string { return filepath.Join(h.dir, "root.pem") }

// register makes an identity and returns its connection string.
func (h *amqpHub) register(id iot.Identity) string {
	h.t.Helper()
	e := registry.Entry{Registration: iot.Registration{Identity: id, Enabled: true, Auth: iot.Authentication{Type: iot.AuthSAS}}}
	made, err := h.host.Registry().Create(e)
	if err != nil {
		h.t.Fatal(err)
	}
	text := fmt.Sprintf("HostName=%s;DeviceId=%s", h.ip, id.Device)
	if id.IsModule() {
		text += ";ModuleId=" + id.Module
	}
	return text + ";SharedAccessKey=" + made[0].Auth.PrimaryKey.Reveal()
}

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
		r, err := h.host.Events().Reader(p, eventlog.Earliest())
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
	h := newAMQPHub(t)
	for _, id := range []iot.Identity{iot.DeviceIdentity("pump+7'(#1)"), iot.ModuleIdentity("pump+7'(#1)", "filter")} {
		client := h.register(id)
		h.node("js/send.js", client, h.root(), "500", "amqp")
		h.expect(id, 500)
	}
}
