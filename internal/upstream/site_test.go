package upstream

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"sluice/internal/await"
	"sluice/internal/hub"
	"sluice/internal/hub/host"
	"sluice/internal/hub/storage"
	"sluice/internal/sas"
	"sluice/iot"
)

// A site is a local hub in this process with an edge device, and what acts as its
// $edgeHub.
type site struct {
	t    testing.TB
	host *host.Host
	edge storage.Entry
	key  iot.Secret // of $edgeHub
}

const edgeDevice = "edge1"

func newSite(t testing.TB, devices ...string) *site {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	h, err := host.Open(host.Config{Dir: t.TempDir(), HostName: "localhost", MQTTPort: -1, AMQPPort: -1, HTTPSPort: -1, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, host: h}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the hub: %v", err)
		}
	})
	s.edge = s.register(iot.Registration{Identity: iot.DeviceIdentity(edgeDevice), Edge: true})[0]
	own, _ := h.Registry().Get(iot.ModuleIdentity(edgeDevice, iot.EdgeHubModule))
	s.key = own.Auth.PrimaryKey
	s.addDevices(devices...)
	return s
}

func (s *site) register(all ...iot.Registration) []storage.Entry {
	s.t.Helper()
	var entries []storage.Entry
	for _, r := range all {
		r.Enabled, r.Auth.Type = true, iot.AuthSAS
		entries = append(entries, storage.Entry{Registration: r})
	}
	made, err := s.host.Registry().Create(entries...)
	if err != nil {
		s.t.Fatal(err)
	}
	return made
}

// addDevices registers devices below the edge device.
func (s *site) addDevices(ids ...string) {
	for some := range slices.Chunk(ids, 100) {
		var all []iot.Registration
		for _, id := range some {
			all = append(all, iot.Registration{Identity: iot.DeviceIdentity(id), ParentScopes: []string{s.edge.Scope}})
		}
		s.register(all...)
	}
}

func (s *site) hub() *hub.Hub { return s.host.Hub().(*hub.Hub) }

// client returns a client of the hub.
func (s *site) client(p Protocol, change func(*Options)) *Hub {
	s.t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.host.RootPEM())
	opt := Options{
		Protocol: p, HostName: "localhost", Address: "127.0.0.1", Roots: roots, ConnectTimeout: await.Patience,
		MQTTPort: port(s.host.MQTTAddr()), AMQPPort: port(s.host.AMQPAddr()), HTTPSPort: port(s.host.HTTPSAddr()),
		Log: slog.New(slog.NewTextHandler(s.t.Output(), nil)),
	}
	if change != nil {
		change(&opt)
	}
	h, err := New(opt)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(h.Close)
	return h
}

func port(a net.Addr) int { return a.(*net.TCPAddr).Port }

// behalf are the credentials of $edgeHub for an identity.
func (s *site) behalf(id iot.Identity, life time.Duration) iot.Credentials {
	s.t.Helper()
	own := iot.ModuleIdentity(edgeDevice, iot.EdgeHubModule)
	token, err := sas.Sign(s.key, sas.Resource{Host: "localhost", Identity: own}, "", time.Now().Add(life))
	if err != nil {
		s.t.Fatal(err)
	}
	creds := iot.Credentials{Identity: id, Token: token}
	if id != own {
		creds.AuthChain = id.String() + ";" + edgeDevice
	}
	return creds
}

func (s *site) connect(h *Hub, id iot.Identity, ended func(error)) iot.Session {
	s.t.Helper()
	session, err := h.Connect(s.t.Context(), s.behalf(id, time.Hour), iot.Client{Product: "sluice", Ended: ended})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = session.Close() })
	return session
}

// events returns what an identity's device sent, as soon as there are n.
func (s *site) events(id iot.Identity, n int) []storage.Event {
	s.t.Helper()
	log := s.host.Events()
	r, err := log.Reader(log.PartitionOf(id), storage.Earliest())
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), await.Patience)
	defer cancel()
	var all []storage.Event
	for len(all) < n {
		some, err := r.Read(ctx, 1000)
		if err != nil {
			s.t.Fatalf("%d of %d messages of %v are at the hub: %v", len(all), n, id, err)
		}
		for _, e := range some {
			if e.Message.Sender().Device == id.Device {
				all = append(all, e)
			}
		}
	}
	return all
}

// A wire is a line to a port of the hub that can be cut.
type wire struct {
	l  net.Listener
	to string
	wg sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
	after int // bytes from the hub after which every connection is cut; 0: never
}

func newWire(t testing.TB, to net.Addr) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{l: l, to: to.String()}
	w.wg.Go(w.run)
	t.Cleanup(func() {
		_ = l.Close()
		w.cut()
		w.wg.Wait()
	})
	return w
}

func (w *wire) port() int { return port(w.l.Addr()) }

func (w *wire) run() {
	for {
		near, err := w.l.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", w.to)
		if err != nil {
			_ = near.Close()
			continue
		}
		w.mu.Lock()
		w.conns = append(w.conns, near, far)
		after := w.after
		w.mu.Unlock()
		w.wg.Go(func() { pipe(far, near, 0) })
		w.wg.Go(func() { pipe(near, far, after) })
	}
}

// pipe copies until either end is closed, or after a number of bytes.
func pipe(to, from net.Conn, after int) {
	defer func() { _ = to.Close(); _ = from.Close() }()
	buf := make([]byte, 32<<10)
	for total := 0; ; {
		n, err := from.Read(buf)
		if after > 0 && total+n >= after {
			n, err = after-total, net.ErrClosed
		}
		total += n
		if _, werr := to.Write(buf[:n]); werr != nil || err != nil {
			return
		}
	}
}

// cut cuts the connections that there are.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		_ = c.Close()
	}
	w.conns = nil
}

func (w *wire) cutAfter(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.after = n
}

// eachProtocol runs a test for every way of speaking to the hub.
func eachProtocol(t *testing.T, f func(t *testing.T, p Protocol)) {
	for _, p := range []Protocol{AMQP, MQTT} {
		t.Run(string(p), func(t *testing.T) { t.Parallel(); f(t, p) })
	}
}
