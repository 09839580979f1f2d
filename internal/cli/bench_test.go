package cli

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/amqp10"
	"sluice/internal/bench"
	"sluice/mqtt"
	"sluice/mqtt/mqttmem"
)

// runBench runs a command line and returns what it printed.
func runBench(t *testing.T, args ...string) (status int, out, errs string) {
	t.Helper()
	return runCommand(t, append([]string{"bench"}, args...)...)
}

func TestBenchUsage(t *testing.T) {
	for _, test := range []struct{ args, says string }{
		{"mqtt --clients 0", "--clients 0: at least 1"},
		{"mqtt --window 0", "--window 0: 1 to"},
		{"mqtt --window 99999", "--window 99999: 1 to"},
		{"mqtt --size -1", "--size -1"},
		{"mqtt --duration 0s", "too short"},
		{"mqtt --rate -1", "cannot be negative"},
		{"mqtt --count 5 --duration 1s", "count duration"},
		{"mqtt --url localhost", "must be mqtts://"},
		{"mqtt --url https://localhost", "must begin with mqtts://"},
		{"mqtt --url mqtt://localhost/path", "must be mqtts://"},
		{"mqtt --connection-string x", "connection string"},
		{"amqp --clients 0", "--clients 0: at least 1"},
		{"amqp --url mqtts://localhost", "must begin with amqps://"},
		{"amqp --url localhost", "must be amqps://"},
		{"idle --clients 0", "--clients must be at least 1"},
		{"spool", "arg"},
		{"spool . --writers 0", "--writers"},
	} {
		status, out, errs := runBench(t, strings.Fields(test.args)...)
		if status != int(ExitUsage) || out != "" || !strings.Contains(errs, test.says) {
			t.Errorf("bench %s: status %d, %q, %q; want status 2 and %q", test.args, status, out, errs, test.says)
		}
	}
	if status, _, errs := runBench(t, "mqtt", "--ca", filepath.Join(t.TempDir(), "none.pem")); status != int(ExitFailed) || !strings.Contains(errs, "none.pem") {
		t.Errorf("a root certificate that is not there: status %d, %q", status, errs)
	}
}

// plainBroker serves open topics without TLS, until the test ends.
func plainBroker(t *testing.T) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error)
	broker := &mqttmem.Broker{Authorize: func(c *mqtt.Connect) error {
		if string(c.Password) == "wrong" {
			return &mqtt.ConnectError{Code: mqtt.CodeBadCredentials}
		}
		return nil
	}}
	go func() { served <- (&mqtt.Server{Backend: broker}).Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return "mqtt://" + l.Addr().String()
}

func TestBenchMQTT(t *testing.T) {
	url := plainBroker(t)
	status, out, errs := runBench(t, "mqtt", "--url", url, "--clients", "3", "--window", "2", "--count", "100", "--json")
	var r bench.Result
	if err := json.Unmarshal([]byte(out), &r); status != 0 || err != nil || r.Messages != 100 || r.Clients != 3 || errs != "" {
		t.Errorf("status %d, %v, %q, %q", status, err, out, errs)
	}
	status, out, _ = runBench(t, "mqtt", "--url", url, "--clients", "1", "--window", "1", "--count", "10")
	for _, part := range []string{"10 acknowledged", "messages a second", "p99.9", "0 connections lost"} {
		if status != 0 || !strings.Contains(out, part) {
			t.Errorf("status %d, %q without %q", status, out, part)
		}
	}
	secret := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secret, []byte("wrong\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	status, _, errs = runBench(t, "mqtt", "--url", url, "--clients", "1", "--user", "u", "--password-file", secret, "--count", "1")
	if status != int(ExitFailed) || !strings.Contains(errs, "CONNACK 4: bad user name or password") || strings.Contains(errs, "wrong") {
		t.Errorf("a wrong password: status %d, %q", status, errs)
	}
}

type openNode struct{}

func (openNode) Closed(error) {}
func (openNode) Attach(r *amqp10.LinkRequest) {
	r.AcceptReceiver(amqp10.ReceiverConfig{Window: 10, OnDelivery: (*amqp10.Delivery).Accept})
}

func TestBenchAMQP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error)
	server := &amqp10.Server{
		Mechanisms: []*amqp10.Mechanism{amqp10.Anonymous(nil)},
		Open:       func(*amqp10.Conn) (amqp10.Handler, error) { return openNode{}, nil },
	}
	go func() { served <- server.Serve(ctx, l) }()
	defer func() {
		cancel()
		if err := <-served; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}()
	status, out, errs := runBench(t, "amqp", "--url", "amqp://"+l.Addr().String(), "--clients", "3", "--window", "2", "--count", "100", "--json")
	var r bench.Result
	if err := json.Unmarshal([]byte(out), &r); status != 0 || err != nil || r.Messages != 100 || r.Clients != 3 || errs != "" {
		t.Errorf("status %d, %v, %q, %q", status, err, out, errs)
	}
}

func TestBenchIdleAndSpool(t *testing.T) {
	status, out, errs := runBench(t, "idle", "--url", plainBroker(t), "--clients", "5", "--settle", "0s")
	if status != 0 || !strings.Contains(out, "5 connections") {
		t.Errorf("idle: status %d, %q, %q", status, out, errs)
	}
	status, out, errs = runBench(t, "spool", t.TempDir(), "--duration", "50ms", "--writers", "4")
	if status != 0 || !strings.Contains(out, "from 4 writers") || !strings.Contains(out, "write and fsync") {
		t.Errorf("spool: status %d, %q, %q", status, out, errs)
	}
	status, _, errs = runBench(t, "idle", "--url", "mqtt://127.0.0.1:1", "--clients", "1")
	if status != int(ExitUnreachable) {
		t.Errorf("nobody there: status %d, %q", status, errs)
	}
}
