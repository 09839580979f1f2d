//go:build unix

package robust

import (
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"
)

func itoa(n int) string { return strconv.Itoa(n) }

// tamper makes the kernel misbehave towards a process, by the rule that strace
// calls inject, until the returned function is called.
func tamper(t *testing.T, p *process, inject string) (stop func()) {
	t.Helper()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skipf("needs strace: %v", err)
	}
	tracer := newProcess(t, "strace", "-f", "-p", itoa(p.pid()), "-e", "trace=fsync,fdatasync,sync_file_range", "-e", "inject="+inject)
	tracer.program = "strace"
	tracer.start()
	eventually(t, patience, "strace", func() bool { return tracer.count("attached") > 0 || !tracer.running() })
	if tracer.count("attached") == 0 {
		t.Skipf("strace does not work here: %v", tracer.said())
	}
	return func() { _, _ = tracer.end(syscall.SIGTERM) }
}

func TestF6_ASlowDiskSlowsAcknowledgementsAlone(t *testing.T) {
	s := newSite(t, fleet(6))
	s.load(func() {
		s.progress(200)
		stop := tamper(t, s.gateway, "fsync,fdatasync:delay_enter=3000000")
		c, err := s.idle.connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close() //nolint:errcheck // said all it had to
		for range 5 {
			began := time.Now()
			c.ping(t)
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("PINGRESP after %v", took)
			}
			wait(300 * time.Millisecond)
		}
		p99(s.devices)
		s.progress(50)
		if slowest := p99(s.devices); slowest < 3*time.Second {
			t.Errorf("p99 of acknowledgements is %v: the disk was not slow", slowest)
		}
		stop()
		s.progress(200)
	})
	s.verdict(inFlight(len(s.devices)))
}

func TestF3_AnFsyncThatFailsIsTheEndOfTheProcess(t *testing.T) {
	s := newSite(t, fleet(6))
	s.load(func() {
		s.progress(200)
		s.fault("eio")
		stop := tamper(t, s.gateway, "fsync,fdatasync:error=EIO")
		defer stop()
		select {
		case <-s.gateway.gone:
		case <-time.After(patience):
			t.Fatal("the gateway goes on, though nothing that it writes is safe")
		}
		if s.gateway.cmd.ProcessState.ExitCode() <= 0 {
			t.Errorf("it ended with %v", s.gateway.err)
		}
		if s.gateway.count("input/output error", s.path("gateway")) == 0 {
			t.Error("it does not name the file that failed")
		}
		s.startGateway()
		s.progress(100)
	})
	s.verdict(inFlight(len(s.devices)))
}
