package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/mqtt"
)

// A counter is a broker that counts what it gets and acknowledges it, or not.
type counter struct {
	judge func(*mqtt.Connect) error
	take  func(n int64, p *mqtt.Publish) // instead of acknowledging the nth; nil to acknowledge

	got    atomic.Int64
	mu     sync.Mutex
	topics map[string]int64
}

func (c *counter) Connect(_ context.Context, connect *mqtt.Connect, _ *mqtt.Conn) (mqtt.Session, bool, error) {
	if c.judge != nil {
		if err := c.judge(connect); err != nil {
			return nil, false, err
		}
	}
	return c, false, nil
}

func (c *counter) Publish(batch []mqtt.Publish) {
	c.mu.Lock()
	for i := range batch {
		c.topics[batch[i].Topic]++
	}
	c.mu.Unlock()
	for i := range batch {
		if n := c.got.Add(1); c.take != nil {
			c.take(n, &batch[i])
		} else {
			batch[i].Ack(nil)
		}
	}
}

func (c *counter) Subscribe(f []mqtt.Filter) ([]mqtt.QoS, error) {
	return make([]mqtt.QoS, len(f)), nil
}
func (c *counter) Unsubscribe([]string) error  { return nil }
func (c *counter) Ready()                      {}
func (c *counter) Closed(error, *mqtt.Message) {}

// serve runs a broker with TLS until the test ends, and returns it as a target.
func serve(t *testing.T, c *counter) Target {
	t.Helper()
	c.topics = make(map[string]int64)
	certificate, roots := selfSigned(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error)
	server := &mqtt.Server{Backend: c, TLS: &tls.Config{Certificates: []tls.Certificate{certificate}}, Limits: mqtt.Limits{ShutdownGrace: time.Millisecond}}
	go func() { served <- server.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return Target{Address: l.Addr().String(), TLS: &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}, Login: Templates{}.Login}
}

func selfSigned(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(crand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

func TestALoadSendsWhatItCounts(t *testing.T) {
	c := &counter{}
	load := &Load{Target: serve(t, c), Clients: 7, Window: 5, Size: 100, Count: 1234}
	r, err := load.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := c.got.Load(); got != 1234 || r.Messages != 1234 || r.Acknowledged != 1234 || r.Errors != 0 || r.Unanswered != 0 {
		t.Errorf("the broker got %d messages; %+v", got, r)
	}
	if len(c.topics) != 7 {
		t.Errorf("they came on the topics %v", c.topics)
	}
	if r.Rate <= 0 || r.Latency.P50 <= 0 || r.Latency.P50 > r.Latency.P99 || r.Latency.P99 > r.Latency.P999 || r.Latency.P999 > r.Latency.Max || r.ConnectRate <= 0 {
		t.Errorf("figures: %+v", r)
	}
}

func TestALoadEndsInTimeAndLeavesOutTheWarmUp(t *testing.T) {
	c := &counter{}
	load := &Load{Target: serve(t, c), Clients: 2, Window: 4, Size: 10, Duration: 200 * time.Millisecond, WarmUp: 200 * time.Millisecond}
	begin := time.Now()
	r, err := load.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d := time.Since(begin); d < 400*time.Millisecond {
		t.Errorf("it took %v", d)
	}
	if r.Messages >= r.Acknowledged || r.Acknowledged != c.got.Load() || r.Seconds != 0.2 || r.Unanswered != 0 {
		t.Errorf("the broker got %d: %+v", c.got.Load(), r)
	}
}

// At a rate, messages are due at even intervals, and a server that stops is late
// with all that were due meanwhile.
func TestARateIsKeptAndLatenessIsSeen(t *testing.T) {
	c := &counter{}
	var stop sync.Once
	release := make(chan struct{})
	c.take = func(_ int64, p *mqtt.Publish) {
		stop.Do(func() {
			time.AfterFunc(300*time.Millisecond, func() { close(release) })
			<-release
		})
		p.Ack(nil)
	}
	load := &Load{Target: serve(t, c), Clients: 1, Window: 4, Size: 10, Count: 100, Rate: 200}
	begin := time.Now()
	r, err := load.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d := time.Since(begin); d < 450*time.Millisecond {
		t.Errorf("100 messages at 200 a second took %v", d)
	}
	// Sixty messages were due while the server stood still; with a window of 4
	// only four of them were sent before it went on.
	if r.Latency.P50 < 50 {
		t.Errorf("half of the messages were late by %v ms at most", r.Latency.P50)
	}
}

func TestProgressIsTold(t *testing.T) {
	told := make(chan int64, 10)
	load := &Load{Target: serve(t, &counter{}), Clients: 1, Window: 1, Duration: 1200 * time.Millisecond}
	load.Progress = func(n int64, _ time.Duration) { told <- n }
	if _, err := load.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := <-told; n < 1 {
		t.Errorf("%d messages after a second", n)
	}
}

func TestALostConnectionIsCounted(t *testing.T) {
	c := &counter{}
	c.take = func(n int64, p *mqtt.Publish) {
		if n > 50 {
			p.Ack(errors.New("disk is full"))
			return
		}
		p.Ack(nil)
	}
	load := &Load{Target: serve(t, c), Clients: 2, Window: 3, Size: 10, Count: 1000}
	r, err := load.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if r.Errors != 2 || r.FirstError == "" || r.Unanswered < 2 || r.Unanswered > 6 || r.Messages > 50 {
		t.Errorf("got %+v", r)
	}
}

func TestARefusalSaysWhy(t *testing.T) {
	c := &counter{judge: func(connect *mqtt.Connect) error {
		if connect.ClientID == "sluice-bench-3" {
			return &mqtt.ConnectError{Code: mqtt.CodeNotAuthorized}
		}
		return nil
	}}
	load := &Load{Target: serve(t, c), Clients: 5, Window: 1, Count: 10}
	_, err := load.Run(t.Context())
	var refused *RefusedError
	if !errors.As(err, &refused) || refused.Code != 5 || !strings.Contains(err.Error(), "sluice-bench-3") {
		t.Errorf("got %v", err)
	}
}

func TestALoadCanBeCalledOff(t *testing.T) {
	c := &counter{}
	ctx, cancel := context.WithCancel(t.Context())
	c.take = func(n int64, p *mqtt.Publish) {
		if n == 100 {
			cancel()
		}
		p.Ack(nil)
	}
	load := &Load{Target: serve(t, c), Clients: 2, Window: 3, Size: 10, Duration: time.Hour}
	if _, err := load.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestIdleConnectionsAreMeasured(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the memory of a process is read from /proc, which Linux has")
	}
	c := &counter{}
	idle := &Idle{Target: serve(t, c), Clients: 20, PID: os.Getpid()}
	r, err := idle.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if r.Before < 1<<20 || r.After < 1<<20 || r.ConnectRate <= 0 {
		t.Errorf("got %+v", r)
	}
	idle.PID = 1 << 30
	if _, err := idle.Run(t.Context()); err == nil {
		t.Error("a process that is not there was measured")
	}
}

func TestADiskIsMeasuredAndLeftClean(t *testing.T) {
	dir := t.TempDir()
	d := &Disk{Dir: dir, Writers: 8, Size: 100, Duration: 100 * time.Millisecond}
	r, err := d.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if r.Appended < 8 || r.AppendRate <= 0 || r.ReadRate <= 0 || r.CommitRate <= 0 || r.BareSyncRate <= 0 || r.Latency.Max <= 0 {
		t.Errorf("got %+v", r)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
