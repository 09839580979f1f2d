package translate

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"sluice/internal/amqphead"
	"sluice/internal/await"
	"sluice/internal/cli"
	"sluice/internal/leafwire"
	"sluice/internal/pki"
	"sluice/internal/sas"
)

// programVariable has this test binary be the program, with the arguments that
// follow it.
const programVariable = "SLUICE_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(programVariable) != "" {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		status := cli.Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
		stop()
		os.Exit(status)
	}
	goleak.VerifyTestMain(m)
}

// A program is `sluice module identity-translation`, in a process of its own, at a
// gateway that listens for AMQP.
type program struct {
	s    *site
	args []string
	cmd  *exec.Cmd
}

// newProgramSite is a site whose identity module is a process.
func newProgramSite(t testing.TB) (*site, *program) {
	t.Helper()
	s := newSite(t, nil)
	s.stopModule()
	root, err := pki.NewRoot("root", pki.Options{})
	s.must(err)
	pair, err := root.Server([]string{"127.0.0.1"}, pki.Options{})
	s.must(err)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair.TLS()}, MinVersion: tls.VersionTLS12})
	s.must(err)
	server := amqphead.New(front{s}, amqphead.Options{}).Server()
	t.Cleanup(await.Run(func(ctx context.Context) { _ = server.Serve(ctx, listener) }))
	ca := filepath.Join(s.dir, "root.pem")
	s.must(os.WriteFile(ca, root.CertPEM(), 0o600))
	module, _ := s.devices.Get(itm)
	connection := sas.ConnectionString{HostName: s.name, Identity: itm, Key: module.Auth.PrimaryKey, GatewayHostName: "127.0.0.1"}
	p := &program{s: s, args: []string{
		"module", "identity-translation", "--connection-string", connection.Reveal(), "--ca", ca, "--log-level", "warn",
		"--amqp-port", strconv.Itoa(listener.Addr().(*net.TCPAddr).Port), "--data", filepath.Join(s.dir, "itm"), "--register-rate", "1000",
	}}
	p.start()
	t.Cleanup(p.kill)
	return s, p
}

func (p *program) start() {
	p.s.t.Helper()
	exe, err := os.Executable()
	p.s.must(err)
	p.cmd = exec.Command(exe, p.args...)
	p.cmd.Env = append(os.Environ(), programVariable+"=1")
	p.cmd.Stderr = p.s.t.Output()
	p.s.must(p.cmd.Start())
}

// kill ends the process as kill -9 does.
func (p *program) kill() {
	_ = p.cmd.Process.Kill() // or it has ended
	_ = p.cmd.Wait()
}

func TestTheProgramSurvivesBeingKilled(t *testing.T) {
	t.Parallel()
	s, program := newProgramSite(t)
	p := s.translator(ptm, 64)
	var want []string
	for i := range 5 {
		for j := range 10 {
			want = append(want, fmt.Sprint(i, "-", j))
			p.tell("leaf", want[len(want)-1])
			if j == 2*i {
				program.kill()
				program.start()
			}
		}
	}
	await.Success(s.t, "all is there", func() error { return s.cloud.firsts("leaf", want) })
	if n := s.cloud.createdTimes("leaf"); n != 1 {
		t.Errorf("created %d times", n)
	}
}

// BenchmarkProgram has leaves register that support everything, and says what one
// costs the program in memory, with its sessions over AMQP.
func BenchmarkProgram(b *testing.B) {
	s, program := newProgramSite(b)
	p := s.translator(ptm, 0)
	defer s.refreshing()()
	p.tell("first", "x")
	s.cloud.has("first", "x")
	before := program.resident()
	b.ResetTimer()
	for i := range b.N {
		p.say(p.route(fmt.Sprint("leaf-", i)).Hello(leafwire.Hello{Methods: true, Desired: true, Commands: true}))
	}
	await.Success(s.t, "all are there", func() error {
		// the hub, the gateway's own, and the modules
		if n := s.hub.Connected(); n < b.N {
			return fmt.Errorf("%d are", n)
		}
		return nil
	})
	b.StopTimer()
	b.ReportMetric(float64(program.resident()-before)/float64(b.N), "B/leaf")
	b.ReportMetric(float64(before)/(1<<20), "MiB-before")
}

// resident is the memory that the process has, in bytes; 0 where nobody says.
func (p *program) resident() int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}
