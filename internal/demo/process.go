package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"time"
)

// process is the gateway as a process of its own, so that killing it is what a
// power cut or a crash is to a program.
type process struct {
	args []string // of this very program
	addr string   // where it listens, to know when it is ready
	log  *os.File

	mu   sync.Mutex
	cmd  *exec.Cmd // nil while it is not running
	gone chan error
}

// stopGrace is how long the gateway may take to end when it is asked to.
const stopGrace = 6 * time.Second

// start runs the program and returns when it accepts connections.
func (p *process) start(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, p.args...)
	cmd.Stdout, cmd.Stderr = p.log, p.log
	cmd.SysProcAttr = apart()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the gateway: %w", err)
	}
	gone := make(chan error, 1)
	go func() { gone <- cmd.Wait() }()
	p.mu.Lock()
	p.cmd, p.gone = cmd, gone
	p.mu.Unlock()
	return p.ready(ctx, gone)
}

// ready waits until the gateway accepts connections.
func (p *process) ready(ctx context.Context, gone chan error) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", p.addr)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-tick.C:
		case err := <-gone:
			gone <- err
			return fmt.Errorf("the gateway ended before it was ready: %w; its log is %s", err, p.log.Name())
		case <-ctx.Done():
			return fmt.Errorf("the gateway is not ready: %w; its log is %s", ctx.Err(), p.log.Name())
		}
	}
}

// kill ends the gateway without a word: SIGKILL, where there are signals.
func (p *process) kill() error { return p.end((*os.Process).Kill, 0) }

// stop asks the gateway to end, and kills it if it does not.
func (p *process) stop() error { return p.end(terminate, stopGrace) }

func (p *process) end(how func(*os.Process) error, grace time.Duration) error {
	p.mu.Lock()
	cmd, gone := p.cmd, p.gone
	p.cmd = nil
	p.mu.Unlock()
	if cmd == nil {
		return nil
	}
	if err := how(cmd.Process); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	if grace > 0 {
		late := time.AfterFunc(grace, func() { _ = cmd.Process.Kill() }) // it may have ended meanwhile
		defer late.Stop()
	}
	<-gone
	return nil
}

// state is how the gateway is shown.
func (p *process) state() (text string, alive bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return "killed", false
	}
	return fmt.Sprintf("pid %d", p.cmd.Process.Pid), true
}
