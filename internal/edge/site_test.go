package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"sluice/internal/edge/config"
	"sluice/internal/hub/host"
	"sluice/internal/hub/storage"
	"sluice/internal/sas"
	"sluice/internal/sockettest"
	"sluice/iot"
)

// patience bounds every wait of the tests.
const patience = 60 * time.Second

// ending is how long a gateway may take to end. Five seconds are promised, on a
// machine that does nothing else.
const ending = 15 * time.Second

// A site is a hub, and what a gateway of it needs.
type site struct {
	t   *testing.T
	hub *host.Host
	dir string // of the gateway
	log *slog.Logger

	edge storage.Entry
	keys map[string]iot.Secret

	mu   sync.Mutex
	got  map[string]int // bodies that the hub has
	more chan struct{}  // closed and replaced when there are more
}

// newSite starts a hub with a gateway and devices below it.
func newSite(t *testing.T, devices ...string) *site {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	h, err := host.Open(host.Config{Dir: t.TempDir(), HostName: "localhost", MQTTPort: -1, AMQPPort: -1, HTTPSPort: -1, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, hub: h, dir: sockettest.Dir(t), log: log, keys: map[string]iot.Secret{}, got: map[string]int{}, more: make(chan struct{})}
	s.run(h.Run)
	s.edge = s.register(storage.Entry{Registration: iot.Registration{Identity: iot.DeviceIdentity("edge1"), Edge: true}})
	for _, id := range devices {
		e := s.register(storage.Entry{Registration: iot.Registration{Identity: iot.DeviceIdentity(id), ParentScopes: []string{s.edge.Scope}}})
		s.keys[id] = e.Auth.PrimaryKey
	}
	for p := range h.Events().Partitions() {
		s.run(func(ctx context.Context) error { return s.collect(ctx, p) })
	}
	return s
}

// run runs f until the test ends, and waits for it.
func (s *site) run(f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := f(ctx); err != nil && ctx.Err() == nil {
			s.t.Errorf("ended early: %v", err)
		}
	}()
	stop = func() { cancel(); <-done }
	s.t.Cleanup(stop)
	return stop
}

func (s *site) register(e storage.Entry) storage.Entry {
	s.t.Helper()
	e.Enabled, e.Auth.Type = true, iot.AuthSAS
	made, err := s.hub.Registry().Create(e)
	if err != nil {
		s.t.Fatal(err)
	}
	return made[0]
}

// collect notes what arrives in one partition.
func (s *site) collect(ctx context.Context, partition int) error {
	r, err := s.hub.Events().Reader(partition, storage.Earliest())
	if err != nil {
		return err
	}
	for {
		events, err := r.Read(ctx, 1000)
		if err != nil {
			return err
		}
		s.mu.Lock()
		for _, e := range events {
			s.got[string(e.Message.Body)]++
		}
		close(s.more)
		s.more = make(chan struct{})
		s.mu.Unlock()
	}
}

// expect waits until the hub has all bodies.
func (s *site) expect(bodies []string) {
	s.t.Helper()
	late := time.After(patience)
	for {
		s.mu.Lock()
		missing, more := 0, s.more
		for _, b := range bodies {
			if s.got[b] == 0 {
				missing++
			}
		}
		s.mu.Unlock()
		if missing == 0 {
			return
		}
		select {
		case <-more:
		case <-late:
			s.t.Fatalf("%d of %d messages are not at the hub", missing, len(bodies))
		}
	}
}

// configure writes the gateway's configuration.
func (s *site) configure() string {
	s.t.Helper()
	root := filepath.Join(s.dir, "hub-root.pem")
	s.write(root, s.hub.RootPEM())
	connection := sas.ConnectionString{HostName: s.hub.HostName(), Identity: s.edge.Identity, Key: s.edge.Auth.PrimaryKey}
	text := fmt.Sprintf(`
hostname = "127.0.0.1"
[provisioning]
source = "manual"
connection_string = %q
[sluice]
data_dir = "data"
[sluice.hub]
address = "127.0.0.1"
ca = "hub-root.pem"
amqp_port = %d
mqtt_port = %d
https_port = %d
[sluice.listen]
address = "127.0.0.1"
mqtt_port = 0
amqp_port = 0
https_port = 0
`, connection.Reveal(), port(s.hub.AMQPAddr()), port(s.hub.MQTTAddr()), port(s.hub.HTTPSAddr()))
	file := filepath.Join(s.dir, "config.toml")
	s.write(file, []byte(text))
	return file
}

func port(a net.Addr) int { return a.(*net.TCPAddr).Port }

func (s *site) write(name string, data []byte) {
	s.t.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// open opens the gateway, with changes to its configuration.
func (s *site) open(change func(*config.Config)) *Edge {
	s.t.Helper()
	cfg, err := config.Load(s.configure())
	if err != nil {
		s.t.Fatal(err)
	}
	if change != nil {
		change(cfg)
	}
	e, err := Open(cfg, s.log)
	if err != nil {
		s.t.Fatal(err)
	}
	return e
}

// learned waits until the hub has told the gateway whom it serves.
func (s *site) learned(e *Edge) {
	s.t.Helper()
	for late := time.After(patience); ; {
		err := e.gateway.RefreshScope(s.t.Context())
		if err == nil {
			return
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-late:
			s.t.Fatal(err)
		}
	}
}

// trusted is for clients of the gateway, whose root is in its data directory.
func (s *site) trusted() *tls.Config {
	s.t.Helper()
	pem, err := os.ReadFile(filepath.Join(s.dir, "data", "root.pem"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.t.Fatal(err)
	}
	return &tls.Config{RootCAs: pool(pem)}
}

// A device speaks MQTT to the gateway.
type device struct {
	t       *testing.T
	id      string
	client  paho.Client
	resumed bool
	lost    chan struct{}
}

func (s *site) connect(id, addr string, change func(*paho.ClientOptions)) *device {
	s.t.Helper()
	d := &device{t: s.t, id: id, lost: make(chan struct{})}
	token, err := sas.Sign(s.keys[id], sas.Resource{Host: s.hub.HostName(), Identity: iot.DeviceIdentity(id)}, "", time.Now().Add(time.Hour))
	if err != nil {
		s.t.Fatal(err)
	}
	o := paho.NewClientOptions().AddBroker("ssl://" + addr).SetClientID(id).SetProtocolVersion(4).
		SetUsername(s.hub.HostName() + "/" + id + "/?api-version=2021-04-12").SetPassword(token).
		SetTLSConfig(s.trusted()).SetAutoReconnect(false).SetConnectTimeout(patience).SetWriteTimeout(time.Second).
		SetConnectionLostHandler(func(paho.Client, error) { close(d.lost) })
	if change != nil {
		change(o)
	}
	// A gateway that has just been made knows nobody until its hub has told it.
	late := time.After(patience)
	for {
		d.client = paho.NewClient(o)
		connecting := d.client.Connect().(*paho.ConnectToken)
		if connecting.WaitTimeout(patience) && connecting.Error() == nil {
			d.resumed = connecting.SessionPresent()
			break
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-late:
			s.t.Fatalf("%s does not connect: %v", id, connecting.Error())
		}
	}
	s.t.Cleanup(func() { d.client.Disconnect(0) })
	return d
}

func (d *device) publish(body string) paho.Token {
	return d.client.Publish("devices/"+d.id+"/messages/events/", 1, false, body)
}

// send publishes and waits for the acknowledgement.
func (d *device) send(body string) {
	d.t.Helper()
	if k := d.publish(body); !k.WaitTimeout(patience) || k.Error() != nil {
		d.t.Fatalf("%s was not acknowledged: %v", body, k.Error())
	}
}
