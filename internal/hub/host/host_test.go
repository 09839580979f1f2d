package host

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/internal/hub/storage"
	"sluice/internal/pki"
	"sluice/internal/sas"
	"sluice/internal/service"
	"sluice/iot"
)

func config(dir string) Config {
	return Config{Dir: dir, MQTTPort: -1, AMQPPort: -1, HTTPSPort: -1}
}

// run opens a hub and runs it until stop, which waits for its end.
func run(t *testing.T, cfg Config) (h *Host, stop func()) {
	t.Helper()
	h, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	stopped := false
	stop = func() {
		t.Helper()
		cancel()
		if stopped {
			return
		}
		stopped = true
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return h, stop
}

func client(t *testing.T, h *Host, policy string) *service.Client {
	t.Helper()
	cs, err := sas.ParseConnectionString(h.ConnectionString(policy))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(h.RootPEM())
	c, err := service.New(cs, service.Options{Roots: roots, Port: h.HTTPSAddr().(*net.TCPAddr).Port})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestAHubThatIsStartedAgainIsTheSame(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "hub")
	h, stop := run(t, config(dir))
	d, err := client(t, h, storage.OwnerPolicy).CreateDevice(t.Context(), service.Device{DeviceID: "pump"})
	if err != nil {
		t.Fatal(err)
	}
	root, owner := string(h.RootPEM()), h.ConnectionString(storage.OwnerPolicy)
	stop()

	again, _ := run(t, config(dir))
	if string(again.RootPEM()) != root || again.ConnectionString(storage.OwnerPolicy) != owner {
		t.Error("root or keys are not what they were")
	}
	got, err := client(t, again, storage.ReadPolicy).Device(t.Context(), "pump")
	if err != nil || got.Authentication.SymmetricKey.PrimaryKey != d.Authentication.SymmetricKey.PrimaryKey {
		t.Errorf("the device: %+v, %v", got, err)
	}
}

// A device that polls is told at once that there is nothing, as by Azure: one that
// drains its queue would otherwise wait for what it is just giving back.
func TestAPollIsAnsweredAtOnce(t *testing.T) {
	h, _ := run(t, config(filepath.Join(t.TempDir(), "hub")))
	d, err := client(t, h, storage.OwnerPolicy).CreateDevice(t.Context(), service.Device{DeviceID: "pump"})
	if err != nil {
		t.Fatal(err)
	}
	token, err := sas.Sign(d.Authentication.SymmetricKey.PrimaryKey, sas.Resource{Host: "127.0.0.1", Identity: iot.Identity{Device: "pump"}}, "", time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(h.RootPEM())
	c := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	defer c.CloseIdleConnections()
	begun := time.Now()
	const polls = 60
	for range polls {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+h.HTTPSAddr().String()+"/devices/pump/messages/devicebound?api-version=2021-04-12", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", token)
		got, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = got.Body.Close()
		if got.StatusCode != http.StatusNoContent {
			t.Fatalf("%s, want 204", got.Status)
		}
	}
	if took := time.Since(begun); took > polls/2*time.Second {
		t.Errorf("%d polls took %s: the hub waits for what it knows", polls, took)
	}
}

func TestConnectionStringsAreForTheOwnerAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "hub")
	h, _ := run(t, config(dir))
	for _, name := range []string{ConnectionsFile, "root-key.pem"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	var c Connections
	text, err := os.ReadFile(filepath.Join(dir, ConnectionsFile))
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil || len(c.Policies) != 5 || c.Events != h.EventsString() || c.AMQP != h.AMQPAddr().String() || c.Policies[storage.OwnerPolicy] != h.ConnectionString(storage.OwnerPolicy) || c.Address != h.HTTPSAddr().String() {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestADirectoryOfSomethingElseIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "thesis.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(config(dir))
	if err == nil || !strings.Contains(err.Error(), "thesis.txt") {
		t.Errorf("error %v; want one that names what is there", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Error("something was written there")
	}
}

func TestTwoHubsInOneDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "hub")
	run(t, config(dir))
	_, err := Open(config(dir))
	if err == nil || !strings.Contains(err.Error(), "another hub") {
		t.Errorf("error %v; want one that asks for another hub", err)
	}
}

func TestAPortThatIsTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close() //nolint:errcheck // of a test
	cfg := config(filepath.Join(t.TempDir(), "hub"))
	cfg.MQTTPort = taken.Addr().(*net.TCPAddr).Port
	_, err = Open(cfg)
	if err == nil || !strings.Contains(err.Error(), "--mqtt-port") {
		t.Errorf("error %v; want one that says what to do", err)
	}
	cfg.MQTTPort = -1
	h, err := Open(cfg) // the first attempt let go of everything
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
}

func TestTheCertificateCarriesAllNames(t *testing.T) {
	cfg := config(filepath.Join(t.TempDir(), "hub"))
	cfg.HostName, cfg.Names = "hub.factory.local", []string{"hub", "10.0.0.7"}
	h, _ := run(t, cfg)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(h.RootPEM())
	for _, name := range []string{"hub.factory.local", "hub", "10.0.0.7", "127.0.0.1", "localhost"} {
		d := tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: name}}
		for _, addr := range []net.Addr{h.MQTTAddr(), h.AMQPAddr(), h.HTTPSAddr()} {
			conn, err := d.DialContext(t.Context(), "tcp", addr.String())
			if err != nil {
				t.Errorf("%s at %s: %v", name, addr, err)
				continue
			}
			_ = conn.Close() // of a test
		}
	}
}

func TestS2_BroughtCertificateIsExchangedWhileItRuns(t *testing.T) {
	dir := t.TempDir()
	root, err := pki.NewRoot("site", pki.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	issue := func() *x509.Certificate {
		pair, err := root.Server([]string{"127.0.0.1"}, pki.Options{})
		if err == nil {
			err = pair.WriteFiles(cert, key, true)
		}
		if err != nil {
			t.Fatal(err)
		}
		return pair.Leaf()
	}
	issue()
	cfg := config(filepath.Join(dir, "hub"))
	cfg.Cert, cfg.Key = cert, key
	h, _ := run(t, cfg)
	if h.RootPEM() != nil {
		t.Error("a root of its own, although a certificate was brought")
	}
	second := issue()
	deadline := time.Now().Add(30 * time.Second)
	for {
		d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // looks at what is shown
		conn, err := d.DialContext(t.Context(), "tcp", h.MQTTAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		shown := conn.(*tls.Conn).ConnectionState().PeerCertificates[0]
		_ = conn.Close() // of a test
		if shown.Equal(second) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the second certificate was never shown")
		}
	}
}
