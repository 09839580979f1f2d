package mqttbridge

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"go.uber.org/goleak"

	"sluice/translator/translatortest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long tests wait for something.
const patience = 60 * time.Second

// rig is a bridge at a gateway in memory.
type rig struct {
	*translatortest.Gateway
	t      *testing.T
	b      *Bridge
	addr   string // of the bridge's own broker
	cancel func()
	ran    chan error
}

// start runs a bridge until the test ends. The configuration is TOML.
func start(t *testing.T, config string) *rig {
	t.Helper()
	r := &rig{Gateway: translatortest.New(t), t: t}
	r.run(configured(t, config))
	return r
}

func configured(t *testing.T, config string) *Config {
	t.Helper()
	file := t.TempDir() + "/bridge.toml"
	if !strings.Contains(config, "broker =") && !strings.Contains(config, "listen =") {
		config = "listen = '127.0.0.1:0'\n" + config
	}
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := Load(file, Config{})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// run starts a bridge at the rig's gateway.
func (r *rig) run(cfg *Config) {
	r.t.Helper()
	listening := make(chan net.Addr, 1)
	opt := Options{Translator: r.Options(), Listening: func(a net.Addr) { listening <- a }, Log: slog.New(slog.NewTextHandler(r.t.Output(), nil))}
	b, err := New(cfg, opt)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(r.t.Context())
	ran := make(chan error, 1)
	r.b, r.cancel, r.ran = b, cancel, ran
	go func() { ran <- b.Run(ctx) }()
	r.t.Cleanup(r.stop)
	if cfg.Broker != "" {
		return
	}
	select {
	case a := <-listening:
		r.addr = a.String()
	case err := <-ran:
		r.t.Fatal(err)
	}
}

// stop ends the bridge, once.
func (r *rig) stop() {
	r.cancel()
	if ran := r.ran; ran != nil {
		r.ran = nil
		if err := <-ran; err != nil {
			r.t.Error(err)
		}
	}
}

// device is a client of a broker, and what it received.
type device struct {
	paho.Client
	t *testing.T

	mu   sync.Mutex
	got  []paho.Message
	more chan struct{}
	lost chan error
}

// device connects a client to the bridge's own broker.
func (r *rig) device(id string, with ...func(*paho.ClientOptions)) *device {
	r.t.Helper()
	return connect(r.t, r.addr, id, with...)
}

func connect(t *testing.T, addr, id string, with ...func(*paho.ClientOptions)) *device {
	t.Helper()
	d := &device{t: t, more: make(chan struct{}, 1), lost: make(chan error, 1)}
	o := paho.NewClientOptions().AddBroker("tcp://" + addr).SetClientID(id).SetAutoReconnect(false).SetConnectTimeout(patience)
	o.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) {
		d.mu.Lock()
		d.got = append(d.got, m)
		d.mu.Unlock()
		select {
		case d.more <- struct{}{}:
		default:
		}
	})
	o.SetConnectionLostHandler(func(_ paho.Client, err error) { d.lost <- err })
	for _, f := range with {
		f(o)
	}
	d.Client = paho.NewClient(o)
	d.wait(d.Connect())
	t.Cleanup(func() { d.Disconnect(50) })
	return d
}

func (d *device) wait(token paho.Token) {
	d.t.Helper()
	if !token.WaitTimeout(patience) {
		d.t.Fatal("no answer from the broker")
	}
	if err := token.Error(); err != nil {
		d.t.Fatal(err)
	}
}

// say publishes and waits for the acknowledgement.
func (d *device) say(topic, payload string) {
	d.t.Helper()
	d.wait(d.Publish(topic, 1, false, payload))
}

// listen subscribes.
func (d *device) listen(filters ...string) {
	d.t.Helper()
	for _, f := range filters {
		d.wait(d.Subscribe(f, 1, nil))
	}
}

// hear waits for a publication to a topic that begins so, and takes it.
func (d *device) hear(topic string) paho.Message {
	d.t.Helper()
	late := time.After(patience)
	for {
		d.mu.Lock()
		for i, m := range d.got {
			if strings.HasPrefix(m.Topic(), topic) {
				d.got = append(d.got[:i:i], d.got[i+1:]...)
				d.mu.Unlock()
				return m
			}
		}
		d.mu.Unlock()
		select {
		case <-d.more:
		case <-late:
			d.t.Fatalf("nothing came to %s", topic)
		}
	}
}

// until waits until ok.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for late := time.Now().Add(patience); !ok(); {
		if time.Now().After(late) {
			t.Fatalf("waited in vain for %s", what)
		}
		<-time.After(time.Millisecond)
	}
}

func numbered(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprint(i))
	}
	return list
}
