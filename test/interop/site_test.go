package interop

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// program is the sluice binary, built once.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "sluice-interop-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "sluice")
	out, err := exec.Command("go", "build", "-o", path, "sluice/cmd/sluice").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := program(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path)) // temporary
	}
	os.Exit(code)
}

// A site is a hub and a gateway as a user runs them: processes of the program,
// with the standard ports, each on a loopback address of its own.
type site struct {
	t          *testing.T
	dir        string
	hubIP      string
	gatewayIP  string
	owner      string   // connection string
	hubArgs    []string // further flags of the hub
	hub        *running
	gateway    *running
	edgeKey    string
	deviceKeys map[string]string
}

// newSite starts a hub and registers a gateway and devices behind it, with the
// official service SDK. The gateway is not started.
func newSite(t *testing.T, devices ...string) *site {
	t.Helper()
	requireStandardPorts(t)
	requireServiceSDK(t)
	net := fmt.Sprintf("127.%d.%d.", 64+rand.N(64), rand.N(256))
	s := &site{t: t, dir: t.TempDir(), hubIP: net + "2", gatewayIP: net + "1"}
	s.startHub()
	s.register(devices)
	s.sluice("certs", "root", "--dir", s.path("certs"))
	s.sluice("certs", "edge", "--dir", s.path("certs"), "--hostname", s.gatewayIP)
	return s
}

// requireStandardPorts skips the test where ports below 1024 or other loopback
// addresses cannot be had.
func requireStandardPorts(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has all of 127.0.0.0/8 without being set up")
	}
	l, err := net.Listen("tcp", fmt.Sprintf("127.63.%d.1:443", rand.N(256)))
	if err != nil {
		t.Skipf("port 443 cannot be had: %v", err)
	}
	_ = l.Close() // was only tried
}

func (s *site) path(name ...string) string { return filepath.Join(append([]string{s.dir}, name...)...) }

// startHub starts the hub, for the first time or again.
func (s *site) startHub() {
	s.t.Helper()
	s.hub = s.start("hub", "The hub", append([]string{"hub", "--data", s.path("hub"), "--listen", s.hubIP}, s.hubArgs...)...)
	var c struct{ Policies map[string]string }
	text, err := os.ReadFile(s.path("hub", "connection-strings.json"))
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.owner = c.Policies["iothubowner"]
}

// register creates the gateway and its devices.
func (s *site) register(devices []string) {
	s.t.Helper()
	out := s.node(s.path("hub", "root.pem"), append([]string{"js/register.js", s.owner, "gateway"}, devices...)...)
	var keys struct {
		Edge   string
		Leaves map[string]string
	}
	if err := json.Unmarshal([]byte(out), &keys); err != nil {
		s.t.Fatalf("%v\n%s", err, out)
	}
	s.edgeKey, s.deviceKeys = keys.Edge, keys.Leaves
}

// startGateway starts the gateway, for the first time or again.
func (s *site) startGateway() {
	s.t.Helper()
	config := fmt.Sprintf(`hostname = "%[1]s"
trust_bundle_cert = "certs/root.pem"
[provisioning]
source = "manual"
connection_string = "HostName=%[2]s;DeviceId=gateway;SharedAccessKey=%[3]s"
[edge_ca]
cert = "certs/edge-ca-%[1]s.pem"
pk = "certs/edge-ca-%[1]s.key"
[sluice]
data_dir = "gateway"
[sluice.listen]
address = "%[1]s"
[sluice.hub]
ca = "hub/root.pem"
`, s.gatewayIP, s.hubIP, s.edgeKey)
	if err := os.WriteFile(s.path("config.toml"), []byte(config), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.gateway = s.start("gateway", "msg=ready", "edge", "--config", s.path("config.toml"))
}

// deviceString is the connection string of a device behind the gateway.
func (s *site) deviceString(id string) string {
	return fmt.Sprintf("HostName=%s;DeviceId=%s;SharedAccessKey=%s;GatewayHostName=%s", s.hubIP, id, s.deviceKeys[id], s.gatewayIP)
}

// sluice runs a command of the program to its end.
func (s *site) sluice(args ...string) string {
	s.t.Helper()
	path, err := program()
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.CommandContext(s.t.Context(), path, args...)
	cmd.Dir = s.dir
	return output(s.t, cmd)
}

// node runs a script to its end.
func (s *site) node(ca string, args ...string) string {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), "node", args...)
	cmd.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+ca)
	return output(s.t, cmd)
}

// tryNode runs a script, which may fail.
func (s *site) tryNode(ca string, args ...string) (string, error) {
	cmd := exec.CommandContext(s.t.Context(), "node", args...)
	cmd.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+ca)
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%w: %s%s", err, out.String(), complaints.String())
	}
	return out.String(), nil
}

func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(cmd.Args, " "), err, out.String(), complaints.String())
	}
	return out.String()
}

// running is a process whose output is read as it comes.
type running struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	gone chan error

	mu    sync.Mutex
	lines []string
	news  chan struct{} // closed and replaced at each line
}

// start starts the program and waits for a line with ready in it.
func (s *site) start(name, ready string, args ...string) *running {
	s.t.Helper()
	path, err := program()
	if err != nil {
		s.t.Fatal(err)
	}
	r := launch(s.t, name, exec.Command(path, args...))
	r.until(ready, 1, 30*time.Second)
	return r
}

// launch starts a command. At the end of the test it is asked to end, so that what
// it has started itself ends with it, and killed if it does not.
func launch(t *testing.T, name string, cmd *exec.Cmd) *running {
	t.Helper()
	r := &running{t: t, name: name, cmd: cmd, gone: make(chan error, 1), news: make(chan struct{})}
	out, in := io.Pipe()
	cmd.Stdout, cmd.Stderr = in, in
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			r.add(lines.Text())
		}
	}()
	go func() {
		err := cmd.Wait()
		_ = in.Close() // never fails
		<-read
		r.gone <- err
		r.add("") // wakes who waits
	}()
	t.Cleanup(func() {
		if cmd.Process.Signal(syscall.SIGTERM) == nil {
			select {
			case err := <-r.gone:
				r.gone <- err
			case <-time.After(time.Minute):
			}
		}
		r.end(syscall.SIGKILL)
		if t.Failed() {
			t.Logf("%s said:\n%s", name, strings.Join(r.all(), "\n"))
		}
	})
	return r
}

func (r *running) add(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, line)
	close(r.news)
	r.news = make(chan struct{})
}

func (r *running) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lines
}

// until waits until n lines have had text in them.
func (r *running) until(text string, n int, limit time.Duration) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), limit)
	defer cancel()
	for {
		r.mu.Lock()
		news, have := r.news, 0
		for _, line := range r.lines {
			if strings.Contains(line, text) {
				have++
			}
		}
		r.mu.Unlock()
		if have >= n {
			return
		}
		select {
		case <-news:
		case err := <-r.gone:
			r.gone <- err
			r.t.Fatalf("%s ended before %q came %d times: %v", r.name, text, n, err)
		case <-ctx.Done():
			r.t.Fatalf("%s: %q came %d times in %v, want %d", r.name, text, have, limit, n)
		}
	}
}

// end sends a signal and waits for the end.
func (r *running) end(s os.Signal) error {
	if err := r.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	err := <-r.gone
	r.gone <- err
	return err
}

// stop asks the process to end, which must be soon: five seconds are promised, on a
// machine that does nothing else.
func (r *running) stop() {
	r.t.Helper()
	begin := time.Now()
	if err := r.end(syscall.SIGTERM); err != nil {
		r.t.Fatalf("%s: %v", r.name, err)
	}
	if took := time.Since(begin); took > 15*time.Second {
		r.t.Errorf("%s took %v to end", r.name, took)
	}
}
