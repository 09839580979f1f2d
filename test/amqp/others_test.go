package amqp

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sluice/amqp10"

	"github.com/google/go-cmp/cmp"
)

// plainServer lets ada in.
func plainServer() *amqp10.Server {
	return &amqp10.Server{Mechanisms: []*amqp10.Mechanism{amqp10.Plain(func(_ context.Context, _ *amqp10.Conn, k amqp10.Credentials) (any, error) {
		if k.User != "ada" || k.Password != "lovelace" {
			return nil, errors.New("who?")
		}
		return k.User, nil
	})}}
}

// missing skips the test, or fails it where everything is to be installed.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("SLUICE_INSTALL") == "1" {
		t.Fatalf("%s is missing", what)
	}
	t.Skipf("%s is missing", what)
}

// rhea prepares a script that requires rhea.
func rhea(t *testing.T, script string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath("node")
	if err != nil {
		missing(t, "node")
	}
	modules, err := filepath.Abs("../interop/node_modules")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(modules, "rhea")); err != nil {
		missing(t, "rhea (npm ci in test/interop)")
	}
	cmd := exec.CommandContext(within(t), path, append([]string{"testdata/" + script}, args...)...)
	cmd.Env = append(os.Environ(), "NODE_PATH="+modules)
	return cmd
}

// run returns what a program prints.
func run(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, errs.String())
	}
	return string(out)
}

func port(addr string) string { return addr[strings.LastIndex(addr, ":")+1:] }

func TestRheaFindsEverythingAsItSentIt(t *testing.T) {
	n, addr := serve(t, plainServer())
	got := run(t, rhea(t, "rhea.js", port(addr)))
	if diff := cmp.Diff(golden(t, "rhea.txt", got), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if left := n.left("q"); left != 0 {
		t.Errorf("%d messages are left", left)
	}
}

func TestProtonFindsEverythingAsItSentIt(t *testing.T) {
	const python = "/usr/bin/python3"
	if exec.Command(python, "-c", "import proton").Run() != nil {
		missing(t, "python3-qpid-proton")
	}
	n, addr := serve(t, plainServer())
	got := run(t, exec.CommandContext(within(t), python, "testdata/echo_proton.py", port(addr)))
	if diff := cmp.Diff(golden(t, "proton.txt", got), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if left := n.left("q"); left != 0 {
		t.Errorf("%d messages are left", left)
	}
}

// golden is what a program printed when it was last looked at.
func golden(t *testing.T, name, got string) string {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE") == "1" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestOurClientWithARheaServer(t *testing.T) {
	cmd := rhea(t, "rhea_server.js")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	ctx := within(t)
	c, err := amqp10.Dial(ctx, "127.0.0.1:"+strings.TrimSpace(line), amqp10.ClientConfig{
		Login: amqp10.LoginPlain(amqp10.Credentials{User: "ada", Password: "lovelace"})})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	s, err := c.NewSession(ctx)
	if err != nil {
		t.Fatal(err)
	}
	exchange(t, s)
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
}

// exchange sends and receives over a session of a server that echoes.
func exchange(t *testing.T, s *amqp10.Session) {
	t.Helper()
	ctx := within(t)
	snd, err := s.AttachSender(ctx, amqp10.SenderConfig{Target: &amqp10.Target{Address: "q"}})
	if err != nil {
		t.Fatal(err)
	}
	rcv, err := s.AttachReceiver(ctx, amqp10.ReceiverConfig{Source: &amqp10.Source{Address: "q"}, Window: 10})
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 1, 1000, 900 << 10} {
		m := amqp10.NewMessage(make([]byte, size))
		m.Properties = &amqp10.Properties{MessageID: "id", ContentType: "application/octet-stream"}
		o, err := snd.Deliver(ctx, amqp10.Outgoing{Message: m})
		if err != nil || o.Kind != amqp10.KindAccepted {
			t.Fatalf("%d bytes: %v, %v", size, o, err)
		}
		d, err := rcv.Receive(ctx)
		if err != nil {
			t.Fatal(err)
		}
		got, err := d.Message()
		if err != nil || len(got.Data) != 1 || len(got.Data[0]) != size || got.Properties.MessageID != "id" {
			t.Fatalf("%d bytes came back as %v, %v", size, got, err)
		}
		d.Accept()
	}
	o, err := snd.Deliver(ctx, amqp10.Outgoing{Message: &amqp10.Message{Properties: &amqp10.Properties{Subject: "reject me"}}})
	if err != nil || o.Kind != amqp10.KindRejected || o.Error.Description != "as you wish" {
		t.Errorf("rejected: %+v, %v", o, err)
	}
	for _, l := range []interface{ Close(context.Context) error }{snd, rcv} {
		if err := l.Close(ctx); err != nil {
			t.Error(err)
		}
	}
}
