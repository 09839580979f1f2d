package edge

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/internal/edge/config"
)

// childConfig names the variable that makes this program a gateway, and childFiles
// the one that limits its descriptors.
const (
	childConfig = "SLUICE_TEST_EDGE"
	childFiles  = "SLUICE_TEST_EDGE_FILES"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(childConfig); path != "" {
		if err := child(path); err != nil {
			fmt.Fprintln(os.Stderr, "child:", err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// child is a gateway as a process of its own. It says where it listens.
func child(path string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if n, err := strconv.ParseUint(os.Getenv(childFiles), 10, 64); err == nil {
		if err := limitFiles(n); err != nil {
			return err
		}
	}
	cfg, err := config.Load(path)
	if err != nil {
		return err
	}
	e, err := Open(cfg, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return err
	}
	fmt.Println(e.MQTTAddr())
	return e.Run(ctx)
}

// process is a child that runs.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	addr string
	gone chan error
}

// spawn starts a gateway and waits until it listens.
func spawn(t *testing.T, configFile string, env ...string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	p := &process{t: t, cmd: cmd, gone: make(chan error, 1)}
	cmd.Env = append(append(os.Environ(), childConfig+"="+configFile), env...)
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	go func() { p.gone <- cmd.Wait() }()
	if err != nil {
		t.Fatalf("the gateway did not start: %v, %v", err, <-p.gone)
	}
	p.addr = strings.TrimSpace(line)
	t.Cleanup(func() { p.signal(syscall.SIGKILL) })
	return p
}

// signal sends a signal and returns how the process ended, and after how long.
func (p *process) signal(s syscall.Signal) (time.Duration, error) {
	if p.cmd == nil {
		return 0, errors.New("it has ended")
	}
	began := time.Now()
	_ = p.cmd.Process.Signal(s) // it may have ended
	p.cmd = nil
	select {
	case err := <-p.gone:
		return time.Since(began), err
	case <-time.After(patience):
		p.t.Fatal("the gateway does not end")
		return 0, nil
	}
}
