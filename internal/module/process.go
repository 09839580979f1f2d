package module

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"time"
)

// A launch is all that is needed to start a process.
type launch struct {
	argv []string
	env  []string
	dir  string
	user account
	mark string // in env, by which processes are known that leave the group
	log  *logbook
}

// A process is a module's, with all that it starts in its turn.
type process struct {
	cmd  *exec.Cmd
	gone chan struct{} // closed when it and all that it started have ended; what follows is set then

	code    int   // exit code; 128 and the signal's number if a signal ended it
	left    int   // processes that had to be killed after it
	leftErr error // why one could not be
}

// start starts a process in a session and group of its own. It must be called from
// a goroutine that is locked to its thread until the process has ended: the kernel
// kills the process when that thread ends.
func start(l launch) (*process, error) {
	program, err := find(l.argv[0], l.dir)
	if err != nil {
		return nil, err
	}
	p := &process{gone: make(chan struct{})}
	p.cmd = &exec.Cmd{Path: program, Args: l.argv, Env: l.env, Dir: l.dir, SysProcAttr: attributes(l.user)}
	var pipes pipes
	defer pipes.closeWriters()
	out, err := pipes.to(l.log.stream(stdout))
	if err != nil {
		return nil, err
	}
	complaints, err := pipes.to(l.log.stream(stderr))
	if err != nil {
		return nil, errors.Join(err, pipes.drain())
	}
	p.cmd.Stdout, p.cmd.Stderr = out, complaints
	if err := p.cmd.Start(); err != nil {
		pipes.closeWriters()
		return nil, errors.Join(err, pipes.drain())
	}
	go p.reap(l.mark, &pipes)
	return p, nil
}

// find looks for a program: in PATH, or below the directory that it will run in.
func find(name, dir string) (string, error) {
	if filepath.Base(name) != name && !filepath.IsAbs(name) {
		name = filepath.Join(dir, name)
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("the program cannot be started: %w", err)
	}
	return path, nil
}

// reap waits until the process has ended, ends what is left of its group and of what
// has left that, and reads the rest of what they wrote.
func (p *process) reap(mark string, pipes *pipes) {
	defer close(p.gone)
	ended := awaitExit(p.cmd.Process.Pid)
	if ended {
		killGroup(p.cmd.Process) // before its number can be another's
	}
	_ = p.cmd.Wait() // the state says more
	if !ended {
		killGroup(p.cmd.Process)
	}
	p.code = exitCode(p.cmd.ProcessState)
	p.left, p.leftErr = killMarked(mark, true, sweepLimit)
	_ = pipes.drain() // the processes are gone
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// kill ends the process and its group at once.
func (p *process) kill() { killGroup(p.cmd.Process) }

// stop asks the process to end, and kills it if it has not when late is closed.
func (p *process) stop(signal string, late <-chan struct{}) {
	if runtime.GOOS != "windows" {
		signalGroup(p.cmd.Process, signal)
		select {
		case <-p.gone:
			return
		case <-late:
		}
	}
	p.kill()
	<-p.gone
}

// pipes carry what a process writes.
type pipes struct {
	readers, writers []*os.File
	reading          sync.WaitGroup
}

// drainGrace is how long what a process wrote may be read after its end: somebody
// who is not of its group may still have its output open.
const drainGrace = time.Second

// to returns a file for a process to write to.
func (ps *pipes) to(w *stream) (*os.File, error) {
	r, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	ps.readers, ps.writers = append(ps.readers, r), append(ps.writers, in)
	ps.reading.Go(func() { w.copy(r) })
	return in, nil
}

// closeWriters closes our ends of what the process has now.
func (ps *pipes) closeWriters() {
	for _, w := range ps.writers {
		_ = w.Close() // nothing is buffered
	}
	ps.writers = nil
}

// drain waits for the readers.
func (ps *pipes) drain() (err error) {
	for _, r := range ps.readers {
		if no := r.SetReadDeadline(time.Now().Add(drainGrace)); no != nil {
			_ = r.Close() // ends the reader too
		}
	}
	ps.reading.Wait()
	for _, r := range ps.readers {
		if no := r.Close(); no != nil && !errors.Is(no, os.ErrClosed) {
			err = no
		}
	}
	return err
}
