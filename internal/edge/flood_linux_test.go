package edge

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// limitFiles limits the descriptors of this process.
func limitFiles(n uint64) error {
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: n, Max: n})
}

// cpu is how much processor time a process has had.
func (p *process) cpu() time.Duration {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	_, after, _ := bytes.Cut(text, []byte(") "))
	fields := strings.Fields(string(after))
	var ticks int
	for _, f := range fields[11:13] { // utime and stime, of 10 ms
		n, err := strconv.Atoi(f)
		if err != nil {
			p.t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// flood opens connections and keeps those that are not refused.
func flood(t *testing.T, addr string, n int) []net.Conn {
	t.Helper()
	conns := make([]net.Conn, 0, n)
	for range n {
		c, err := net.DialTimeout("tcp", addr, patience)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		conns = append(conns, c)
	}
	return conns
}

func TestF8_FewDescriptorsAndManyClients(t *testing.T) {
	s := newSite(t, "pump1", "pump2")
	p := spawn(t, s.configure(), childFiles+"=256")
	d := s.connect("pump1", p.addr, nil)
	d.send("before")
	conns := flood(t, p.addr, 600)

	// Those inside are served, on the same disk, while the rest wait or are refused.
	before, began := p.cpu(), time.Now()
	sent := []string{"before"}
	every := time.NewTicker(20 * time.Millisecond) // what a device has to say
	defer every.Stop()
	for time.Since(began) < 2*time.Second {
		body := fmt.Sprint("during ", len(sent))
		d.send(body)
		sent = append(sent, body)
		<-every.C
	}
	used, took := p.cpu()-before, time.Since(began)
	t.Logf("%v of processor time in %v", used, took)
	if used > took/2 { // who asks again and again for what is not there needs all there is
		t.Error("that is too much")
	}
	for _, c := range conns {
		_ = c.Close()
	}
	late := s.connect("pump2", p.addr, nil)
	late.send("after")
	s.expect(append(sent, "after"))
	if took, err := p.signal(syscall.SIGTERM); err != nil {
		t.Errorf("ended after %v: %v", took, err)
	}
}
