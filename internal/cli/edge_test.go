package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/internal/edge/config"
	"sluice/internal/pki"
	"sluice/internal/sockettest"
)

// edgeConfig writes a configuration whose hub is not there.
func edgeConfig(t *testing.T, extra string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "config.toml")
	text := `
hostname = "127.0.0.1"
[provisioning]
source = "manual"
connection_string = "HostName=localhost;DeviceId=edge1;SharedAccessKey=c2VjcmV0"
[sluice]
data_dir = "data"
[sluice.hub]
amqp_port = 1
mqtt_port = 1
https_port = 1
[sluice.listen]
address = "127.0.0.1"
mqtt_port = 0
amqp_port = 0
https_port = 0
`
	if err := os.WriteFile(file, []byte(text+extra), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// edgeOnce runs sluice edge to its end.
func edgeOnce(t *testing.T, args ...string) (exit int, out, errw string) {
	t.Helper()
	return runCommand(t, append([]string{"edge"}, args...)...)
}

func TestL10_EdgeSaysWhatIsWrong(t *testing.T) {
	t.Chdir(t.TempDir())
	configPlacesHere(t)
	good := edgeConfig(t, "")
	for _, tt := range []struct {
		name string
		args []string
		exit Exit
		want []string
	}{
		{"no configuration", nil, ExitFailed, []string{"no configuration", "hint:", "sluice edge --example > config.toml"}},
		{"one that is not there", []string{"--config", "no.toml"}, ExitFailed, []string{"no.toml"}},
		{"one that is wrong", []string{"--config", edgeConfig(t, "[sluice.lissten]\n")}, ExitFailed, []string{"line 17", "lissten", "did you mean"}},
		{"log level", []string{"--config", good, "--log-level", "loud"}, ExitUsage, []string{"loud"}},
		{"log format", []string{"--config", good, "--log-format", "xml"}, ExitUsage, []string{"xml"}},
		{"argument", []string{"config.toml"}, ExitUsage, []string{"config.toml"}},
		{"check of a file that is not there", []string{"--check", "--config", edgeConfig(t, "[sluice.tls]\ncert = \"c.pem\"\nkey = \"k.pem\"\n")},
			ExitFailed, []string{"server certificate", "c.pem"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			exit, out, errw := edgeOnce(t, tt.args...)
			if exit != int(tt.exit) || out != "" {
				t.Errorf("exit %d, output %q", exit, out)
			}
			for _, want := range tt.want {
				if !strings.Contains(errw, want) {
					t.Errorf("%s\nwant %q in it", errw, want)
				}
			}
		})
	}
}

// configPlacesHere skips the test on a machine that has a gateway's configuration
// where it is looked for.
func configPlacesHere(t *testing.T) {
	for _, place := range configPlaces {
		if _, err := os.Stat(place); err == nil {
			t.Skipf("%s exists", place)
		}
	}
}

func TestEdgeExampleIsFoundWhereItWasWritten(t *testing.T) {
	t.Chdir(t.TempDir())
	exit, out, _ := edgeOnce(t, "--example")
	if _, err := config.Parse([]byte(out), "/"); exit != 0 || err != nil {
		t.Fatalf("exit %d, %v", exit, err)
	}
	if err := os.WriteFile("config.toml", []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}
	exit, out, errw := edgeOnce(t, "--check")
	if exit != 0 || !strings.Contains(out, "gateway.local") || !strings.Contains(out, "/var/lib/sluice/root.pem") {
		t.Errorf("exit %d\n%s%s", exit, out, errw)
	}
}

// serviceManager is the socket on which a service manager listens.
func serviceManager(t *testing.T) *net.UnixConn {
	t.Helper()
	name := filepath.Join(sockettest.Dir(t), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	t.Setenv("NOTIFY_SOCKET", name)
	return l
}

func heard(t *testing.T, l *net.UnixConn) string {
	t.Helper()
	if err := l.SetReadDeadline(time.Now().Add(edgePatience)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	n, err := l.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

// edgePatience bounds every wait for a gateway.
const edgePatience = 60 * time.Second

// edgeLog reads the log of a gateway, line by line.
type edgeLog struct {
	t     *testing.T
	lines chan string
}

func readEdgeLog(t *testing.T, r io.Reader) *edgeLog {
	l := &edgeLog{t, make(chan string, 1000)}
	go func() {
		defer close(l.lines)
		for s := bufio.NewScanner(r); s.Scan(); {
			l.lines <- s.Text()
		}
	}()
	return l
}

// until returns the line that has this message.
func (l *edgeLog) until(msg string) map[string]any {
	l.t.Helper()
	late := time.After(edgePatience)
	for {
		select {
		case line, ok := <-l.lines:
			if !ok {
				l.t.Fatalf("the gateway ended without %q", msg)
			}
			var record map[string]any
			if err := json.Unmarshal([]byte(line), &record); err != nil {
				l.t.Fatalf("%v: %s", err, line)
			}
			if strings.Contains(line, "c2VjcmV0") {
				l.t.Errorf("S12 the log has the key in it: %s", line)
			}
			if record["msg"] == msg {
				return record
			}
		case <-late:
			l.t.Fatalf("the gateway did not say %q", msg)
		}
	}
}

func TestEdgeRunsUntilItIsToldToEnd(t *testing.T) {
	manager := serviceManager(t)
	file := edgeConfig(t, "[sluice.tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n")
	root, err := pki.NewRoot("root", pki.Options{})
	if err != nil {
		t.Fatal(err)
	}
	renew := func() {
		pair, err := root.Server([]string{"127.0.0.1"}, pki.Options{})
		if err == nil {
			err = pair.WriteFiles(filepath.Join(filepath.Dir(file), "cert.pem"), filepath.Join(filepath.Dir(file), "key.pem"), true)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	renew()

	ctx, stop := context.WithCancel(t.Context())
	errw, write := io.Pipe()
	log := readEdgeLog(t, errw)
	done := make(chan int, 1)
	go func() {
		done <- Main(ctx, []string{"edge", "--config", file, "--log-format", "json"}, strings.NewReader(""), io.Discard, write)
		_ = write.Close() // of a pipe
	}()
	addr := fmt.Sprint(log.until("listening for MQTT")["address"])
	log.until("ready")
	if got := heard(t, manager); got != "READY=1" {
		t.Errorf("the service manager heard %q first", got)
	}
	conn, err := net.DialTimeout("tcp", addr, edgePatience)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close() // that it was there is enough

	if exit, _, other := edgeOnce(t, "--config", file); exit != int(ExitFailed) || !strings.Contains(other, fmt.Sprint(os.Getpid())) || !strings.Contains(other, "data_dir") {
		t.Errorf("F9 a second gateway on the same data: exit %d, %s", exit, other)
	}

	renew()
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if err := self.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(errors.Join(errors.New("SIGHUP"), err))
	}
	if changed := log.until("server certificate read again")["changed"]; changed != true {
		t.Errorf("SIGHUP: changed is %v", changed)
	}

	stop()
	log.until("stopped")
	if exit := <-done; exit != 0 {
		t.Errorf("exit %d, want 0: it did what it was told", exit)
	}
	if got := heard(t, manager); got != "STOPPING=1" {
		t.Errorf("the service manager heard %q last", got)
	}
}
