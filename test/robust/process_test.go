//go:build unix

package robust

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A process is the program, running or not. It can be started again.
type process struct {
	t    *testing.T
	name string
	args []string
	wrap []string // command in front of the program: a shell that sets limits

	program string // another than ours; "" for ours

	cmd  *exec.Cmd
	gone chan struct{} // closed when it has ended
	err  error         // how; valid once gone is closed

	mu    sync.Mutex
	lines []string // of all runs
	from  int      // first line of this run
	news  chan struct{}
}

// newProcess prepares a run of the program. It is killed, if it then runs, at
// the end of the test, and what it said is shown if the test failed.
func newProcess(t *testing.T, name string, args ...string) *process {
	p := &process{t: t, name: name, args: args, news: make(chan struct{})}
	t.Cleanup(func() {
		p.end(syscall.SIGKILL)
		if t.Failed() {
			p.confess()
		}
	})
	return p
}

// confess shows the end of what the process said.
func (p *process) confess() {
	const most = 150
	lines := p.said()
	left := max(0, len(lines)-most)
	p.t.Logf("%s said (%d lines before left out):\n%s", p.name, left, strings.Join(lines[left:], "\n"))
}

// start starts the program.
func (p *process) start() {
	p.t.Helper()
	path := p.program
	if path == "" {
		var err error
		if path, err = program(); err != nil {
			p.t.Fatal(err)
		}
	}
	args := append(append([]string{}, p.wrap...), append([]string{path}, p.args...)...)
	cmd := exec.Command(args[0], args[1:]...)
	out, in := io.Pipe()
	cmd.Stdout, cmd.Stderr = in, in
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	p.cmd, p.gone, p.from = cmd, make(chan struct{}), len(p.lines)
	p.mu.Unlock()
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			p.add(lines.Text())
		}
	}()
	go func(gone chan struct{}) {
		err := cmd.Wait()
		_ = in.Close() // never fails
		<-read
		p.err = err
		close(gone)
	}(p.gone)
}

func (p *process) add(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lines = append(p.lines, line)
	close(p.news)
	p.news = make(chan struct{})
}

// said is all that the process has said, in all its runs.
func (p *process) said() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lines[:len(p.lines):len(p.lines)]
}

// count counts the lines of this run that have all of texts in them.
func (p *process) count(texts ...string) int {
	n, _ := p.look(texts)
	return n
}

func (p *process) look(texts []string) (n int, news chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range p.lines[p.from:] {
		if containsAll(line, texts) {
			n++
		}
	}
	return n, p.news
}

func containsAll(line string, texts []string) bool {
	for _, text := range texts {
		if !strings.Contains(line, text) {
			return false
		}
	}
	return true
}

// until waits for a line of this run that has all of texts in it.
func (p *process) until(limit time.Duration, texts ...string) {
	p.t.Helper()
	defer tellSlow(p.t, fmt.Sprintf("%s saying %q", p.name, texts), time.Now())
	ctx, cancel := context.WithTimeout(p.t.Context(), limit)
	defer cancel()
	for {
		n, news := p.look(texts)
		if n > 0 {
			return
		}
		select {
		case <-news:
		case <-p.gone:
			if p.count(texts...) > 0 {
				return
			}
			p.t.Fatalf("%s ended without saying %q: %v", p.name, texts, p.err)
		case <-ctx.Done():
			p.t.Fatalf("%s did not say %q within %v", p.name, texts, limit)
		}
	}
}

// untilMore waits for one more line that has all of texts in it.
func (p *process) untilMore(limit time.Duration, texts ...string) {
	p.t.Helper()
	before := p.count(texts...)
	eventually(p.t, limit, fmt.Sprintf("%s saying %q", p.name, texts), func() bool { return p.count(texts...) > before })
}

// says reports whether a line with all of texts in it comes within limit.
func (p *process) says(limit time.Duration, texts ...string) bool {
	late := time.NewTimer(limit)
	defer late.Stop()
	for {
		n, news := p.look(texts)
		if n > 0 {
			return true
		}
		select {
		case <-news:
		case <-late.C:
			return false
		}
	}
}

// grep is what the process said with text in it.
func (p *process) grep(text string) string {
	var found []string
	for _, line := range p.said() {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return strings.Join(found, "\n")
}

// running reports whether the process has been started and has not ended.
func (p *process) running() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.gone:
		return false
	default:
		return true
	}
}

// signal sends a signal to a process that runs.
func (p *process) signal(s os.Signal) {
	if !p.running() {
		return
	}
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Errorf("%s: %v: %v", p.name, s, err)
	}
}

// end sends a signal, waits for the end, and returns what Wait said and how
// long it took.
func (p *process) end(s os.Signal) (time.Duration, error) {
	if !p.running() {
		return 0, p.err
	}
	began := time.Now()
	p.signal(s)
	late := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() }) // rather than hang
	defer late.Stop()
	<-p.gone
	return time.Since(began), p.err
}

// kill is kill -9.
func (p *process) kill() { _, _ = p.end(syscall.SIGKILL) }

// pid is the process's id.
func (p *process) pid() int { return p.cmd.Process.Pid }
