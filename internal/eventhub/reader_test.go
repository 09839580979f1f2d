package eventhub

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"sluice/amqp10"
	"sluice/internal/hub/host"
	"sluice/internal/hub/storage"
	"sluice/internal/hubevent"
	"sluice/internal/sas"
	"sluice/iot"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A site is a hub that can be stopped and started.
type site struct {
	t    *testing.T
	cfg  host.Config
	hub  *host.Host
	stop func()

	later atomic.Int64 // nanoseconds by which the hub's clock is ahead
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, cfg: host.Config{Dir: filepath.Join(t.TempDir(), "hub"), MQTTPort: -1, AMQPPort: -1, HTTPSPort: -1}}
	s.cfg.Now = func() time.Time { return time.Now().Add(time.Duration(s.later.Load())) }
	s.start()
	s.cfg.AMQPPort = s.hub.AMQPAddr().(*net.TCPAddr).Port // from now on the same
	t.Cleanup(func() { s.stop() })
	return s
}

func (s *site) start() {
	s.t.Helper()
	h, err := host.Open(s.cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	s.hub = h
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Error(err)
		}
	})
}

func (s *site) store(device string, bodies ...string) {
	s.t.Helper()
	batch := make([]iot.Message, len(bodies))
	for i, b := range bodies {
		batch[i] = iot.Message{Body: []byte(b), Properties: iot.Properties{{Key: "n", Value: fmt.Sprint(i)}}}
		batch[i].System.Set(iot.ContentType, "application/json")
		batch[i].System.Set(iot.MessageID, "id "+b)
		batch[i].Stamp(iot.DeviceIdentity(device))
	}
	done := make(chan error, 1)
	s.hub.Events().Append(iot.DeviceIdentity(device), batch, func(err error) { done <- err })
	if err := <-done; err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) reader(change func(*sas.ConnectionString, *Options)) *Reader {
	s.t.Helper()
	cs, err := sas.ParseConnectionString(s.hub.ConnectionString(storage.ServicePolicy))
	if err != nil {
		s.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.hub.RootPEM())
	opt := Options{Roots: roots, Port: s.hub.AMQPAddr().(*net.TCPAddr).Port}
	if change != nil {
		change(&cs, &opt)
	}
	r, err := New(cs, opt)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// read reads without following, and lists what came by device.
func (s *site) read(from Position) map[string][]string {
	s.t.Helper()
	got := map[string][]string{}
	err := s.reader(nil).Read(s.t.Context(), from, false, func(e *hubevent.Event) error {
		got[e.Device] = append(got[e.Device], e.Text())
		return nil
	}, nil)
	if err != nil {
		s.t.Error(err)
	}
	return got
}

func TestEverythingIsReadInOrder(t *testing.T) {
	s := newSite(t)
	s.store("a", "1", "2", "3")
	s.store("b", `{"x":1}`)
	later := s.later.Add(int64(time.Minute))
	s.store("a", "4")
	want := map[string][]string{"a": {"1", "2", "3", "4"}, "b": {`{"x":1}`}}
	if diff := cmp.Diff(want, s.read(Position{Start: true})); diff != "" {
		t.Errorf("from the start: %s", diff)
	}
	if diff := cmp.Diff(map[string][]string{"a": {"4"}}, s.read(Position{Time: time.Now().Add(time.Duration(later) / 2)})); diff != "" {
		t.Errorf("from a time: %s", diff)
	}
	if diff := cmp.Diff(map[string][]string{}, s.read(Position{})); diff != "" {
		t.Errorf("from the end: %s", diff)
	}
}

func TestWhatIsKnownOfAnEvent(t *testing.T) {
	s := newSite(t)
	s.store("a", `{"x":1}`)
	var got hubevent.Event
	err := s.reader(nil).Read(t.Context(), Position{Start: true}, false, func(e *hubevent.Event) error {
		got = *e
		return nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got.Device != "a" || got.Source != "Telemetry" || got.System["message-id"] != `id {"x":1}` || got.Properties["n"] != "0" ||
		string(got.Body) != `{"x":1}` || time.Since(got.Enqueued) > time.Minute {
		t.Errorf("event %+v", got)
	}
}

// A hub that is stopped and started again is read on where it was.
func TestAFollowerMissesAndRepeatsNothing(t *testing.T) {
	s := newSite(t)
	s.store("a", "before")
	got := make(chan string, 100)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	reader := s.reader(nil)
	go func() {
		ended <- reader.Read(ctx, Position{Start: true}, true, func(e *hubevent.Event) error {
			got <- e.Device + " " + e.Text()
			return nil
		}, func(err error) { t.Log("lost:", err) })
	}()
	expect := func(want string) {
		t.Helper()
		select {
		case text := <-got:
			if text != want {
				t.Errorf("got %q, want %q", text, want)
			}
		case err := <-ended:
			t.Fatalf("ended with %v before %q came", err, want)
		case <-time.After(30 * time.Second):
			t.Fatalf("%q did not come", want)
		}
	}
	expect("a before")
	s.store("a", "there")
	expect("a there")
	s.stop()
	s.start()
	s.store("a", "back")
	s.store("b", "new")
	both := map[string]bool{<-got: true, <-got: true}
	if !both["a back"] || !both["b new"] {
		t.Errorf("after the hub came back: %v", both)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if len(got) > 0 {
		t.Errorf("more came: %q", <-got)
	}
}

func TestRefusals(t *testing.T) {
	s := newSite(t)
	for name, change := range map[string]func(*sas.ConnectionString, *Options){
		"a wrong key":          func(cs *sas.ConnectionString, _ *Options) { cs.Key = sas.NewKey() },
		"a foreign root":       func(_ *sas.ConnectionString, o *Options) { o.Roots = x509.NewCertPool() },
		"nobody there":         func(_ *sas.ConnectionString, o *Options) { o.Port = 1 },
		"a group that is none": func(_ *sas.ConnectionString, o *Options) { o.ConsumerGroup = "nobody" },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			s.store("a", "x")
			err := s.reader(change).Read(ctx, Position{Start: true}, false, func(*hubevent.Event) error { return nil }, nil)
			if err == nil || ctx.Err() != nil {
				t.Errorf("error %v", err)
			}
		})
	}
	if _, err := New(sas.ConnectionString{HostName: "h"}, Options{}); err == nil || !strings.Contains(err.Error(), "SharedAccessKeyName") {
		t.Errorf("a device's connection string: %v", err)
	}
}

func TestRedirects(t *testing.T) {
	info := func(host, address string) error {
		e := &amqp10.Error{Condition: "amqp:link:redirect"}
		e.Info.Set("hostname", host)
		e.Info.Set("address", address)
		return fmt.Errorf("attach: %w", e)
	}
	for name, c := range map[string]struct {
		err  error
		want endpoint
		ok   bool
	}{
		"Azure's":       {info("ihsuprod.servicebus.windows.net", "amqps://ihsuprod.servicebus.windows.net:5671/iothub-ehub-x-1/$management"), endpoint{"ihsuprod.servicebus.windows.net", "iothub-ehub-x-1"}, true},
		"without host":  {info("", "amqps://a.b/name/$management"), endpoint{"a.b", "name"}, true},
		"without name":  {info("a.b", "amqps://a.b/$management"), endpoint{}, false},
		"not an URL":    {info("a.b", "://"), endpoint{}, false},
		"another error": {&amqp10.Error{Condition: "amqp:not-found"}, endpoint{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := redirected(c.err)
			if got != c.want || (err == nil) != c.ok {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}
