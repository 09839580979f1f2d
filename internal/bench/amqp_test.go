package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/amqp10"
	"sluice/internal/sas"
)

// A depot is an AMQP server that counts what it gets and accepts it, or not.
type depot struct {
	window uint32
	take   func(n int64, d *amqp10.Delivery) // instead of accepting the nth; nil to accept

	got       atomic.Int64
	mu        sync.Mutex
	addresses map[string]int64
	users     map[string]string // passwords by user
}

func (d *depot) Attach(r *amqp10.LinkRequest) {
	address := r.Address()
	d.mu.Lock()
	d.addresses[address] = 0
	d.mu.Unlock()
	r.AcceptReceiver(amqp10.ReceiverConfig{Window: d.window, OnDelivery: func(in *amqp10.Delivery) {
		d.mu.Lock()
		d.addresses[address]++
		d.mu.Unlock()
		if n := d.got.Add(1); d.take != nil {
			d.take(n, in)
		} else {
			in.Accept()
		}
	}})
}

func (d *depot) Closed(error) {}

// serveAMQP runs a server with TLS until the test ends, and returns it as a target.
func serveAMQP(t *testing.T, d *depot) Target {
	t.Helper()
	d.addresses, d.users = make(map[string]int64), make(map[string]string)
	certificate, roots := selfSigned(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &amqp10.Server{
		Open: func(*amqp10.Conn) (amqp10.Handler, error) { return d, nil },
		Mechanisms: []*amqp10.Mechanism{amqp10.Anonymous(nil), amqp10.Plain(func(_ context.Context, _ *amqp10.Conn, k amqp10.Credentials) (any, error) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.users[k.User] = k.Password
			return k.User, nil
		})},
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error)
	go func() {
		served <- server.Serve(ctx, tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{certificate}}))
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-served; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	return Target{Address: l.Addr().String(), TLS: &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}, AMQP: true, Login: Templates{AMQP: true}.Login}
}

// The window is the client's, or the server's credit if that is less.
func TestALoadOverAMQPSendsWhatItCounts(t *testing.T) {
	for _, window := range []uint32{100, 3} {
		d := &depot{window: window}
		load := &Load{Target: serveAMQP(t, d), Clients: 7, Window: 5, Size: 100, Count: 1234}
		r, err := load.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := d.got.Load(); got != 1234 || r.Messages != 1234 || r.Acknowledged != 1234 || r.Errors != 0 || r.Unanswered != 0 {
			t.Errorf("the server got %d messages; %+v", got, r)
		}
		if _, last := d.addresses["sluice-bench/6"]; len(d.addresses) != 7 || !last {
			t.Errorf("they came on the links %v", d.addresses)
		}
		if r.Rate <= 0 || r.Latency.P50 <= 0 || r.Latency.P50 > r.Latency.Max || r.ConnectRate <= 0 {
			t.Errorf("figures: %+v", r)
		}
	}
}

func TestALoadOverAMQPAtARate(t *testing.T) {
	load := &Load{Target: serveAMQP(t, &depot{window: 10}), Clients: 2, Window: 4, Size: 10, Count: 60, Rate: 200}
	begin := time.Now()
	r, err := load.Run(t.Context())
	if d := time.Since(begin); err != nil || r.Messages != 60 || d < 250*time.Millisecond {
		t.Errorf("60 messages at 200 a second took %v: %+v, %v", d, r, err)
	}
}

func TestDevicesOverAMQPLogInAsTheirSDKsDo(t *testing.T) {
	d := &depot{window: 10}
	load := &Load{Target: serveAMQP(t, d), Clients: 1, Window: 1, Count: 2}
	load.Target.Login = Templates{AMQP: true, ConnectionString: "HostName=Hub.local;DeviceId=dev-{n};SharedAccessKey=" + sas.NewKey().Reveal()}.Login
	if _, err := load.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	token, err := sas.Parse(d.users["dev-0@sas.Hub.local"])
	if err != nil || token.Resource.String() != "hub.local/devices/dev-0" || d.addresses["/devices/dev-0/messages/events"] != 2 {
		t.Errorf("token for %v, %v; links %v", token.Resource, err, d.addresses)
	}
}

func TestAMessageThatIsNotAcceptedIsAnError(t *testing.T) {
	d := &depot{window: 10}
	d.take = func(n int64, in *amqp10.Delivery) {
		if n > 50 {
			in.Reject(amqp10.Errorf(amqp10.ErrResourceLimit, "the disk is full"))
			return
		}
		in.Accept()
	}
	load := &Load{Target: serveAMQP(t, d), Clients: 2, Window: 3, Size: 10, Count: 1000}
	r, err := load.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if r.Errors != 2 || !strings.Contains(r.FirstError, "the disk is full") || r.Unanswered < 2 || r.Unanswered > 6 || r.Messages != 50 {
		t.Errorf("got %+v", r)
	}
}

func TestALoadOverAMQPCanBeCalledOff(t *testing.T) {
	d := &depot{window: 10}
	ctx, cancel := context.WithCancel(t.Context())
	d.take = func(n int64, in *amqp10.Delivery) {
		if n == 100 {
			cancel()
		}
		in.Accept()
	}
	load := &Load{Target: serveAMQP(t, d), Clients: 2, Window: 3, Size: 10, Duration: time.Hour}
	if _, err := load.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestALoadOverAMQPThatNobodyTakes(t *testing.T) {
	load := &Load{Target: Target{Address: "127.0.0.1:1", AMQP: true, Login: Templates{AMQP: true}.Login}, Clients: 2, Window: 1, Count: 1}
	if _, err := load.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "sluice-bench-") {
		t.Errorf("got %v", err)
	}
}
