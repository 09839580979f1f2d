//go:build unix

package robust

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// usage is what a process takes of the machine.
type usage struct {
	descriptors int
	rss         int           // KiB
	cpu         time.Duration // since it began
}

// usage asks the kernel.
func (p *process) usage() (u usage) {
	p.t.Helper()
	proc := filepath.Join("/proc", strconv.Itoa(p.pid()))
	fds, err := os.ReadDir(filepath.Join(proc, "fd"))
	status, err2 := os.ReadFile(filepath.Join(proc, "status"))
	stat, err3 := os.ReadFile(filepath.Join(proc, "stat"))
	if err := errors.Join(err, err2, err3); err != nil {
		p.t.Fatalf("needs /proc: %v", err)
	}
	u.descriptors = len(fds)
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			u.rss, _ = strconv.Atoi(strings.Fields(rest)[0]) // the kernel's own form
		}
	}
	// After the name in parentheses: state is the first field, utime and stime
	// the 12th and 13th, in hundredths of a second; see proc(5).
	_, rest, _ := strings.Cut(string(stat), ") ")
	for _, field := range strings.Fields(rest)[11:13] {
		ticks, _ := strconv.Atoi(field) // the kernel's own form
		u.cpu += time.Duration(ticks) * 10 * time.Millisecond
	}
	return u
}

func TestL1_ManyConnectionsLeaveNothingBehind(t *testing.T) {
	n := 1000
	if brief() {
		n = 200
	}
	s := newSite(t, nil)
	login := func() {
		c, err := s.idle.connect(t.Context())
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = c.Write(disconnect) // the end in any case
		_ = c.Close()              // said goodbye
	}
	for range 50 {
		login() // what is made once is made now
	}
	s.quiet()
	before := s.gateway.usage()
	for range n {
		login()
	}
	s.quiet()
	after := s.gateway.usage()
	t.Logf("%d connections later: %+v, was %+v", n, after, before)
	if after.descriptors > before.descriptors+2 {
		t.Errorf("%d descriptors, were %d", after.descriptors, before.descriptors)
	}
	if after.rss > before.rss+16<<10 {
		t.Errorf("%d KiB resident, were %d", after.rss, before.rss)
	}
}

// quiet waits until no device is connected: descriptors stop falling.
func (s *site) quiet() {
	s.t.Helper()
	last, since := s.gateway.usage().descriptors, time.Now()
	eventually(s.t, patience, "quiet", func() bool {
		if n := s.gateway.usage().descriptors; n != last {
			last, since = n, time.Now()
		}
		return time.Since(since) > 1500*time.Millisecond
	})
}

func TestL2_OfManyLoginsOfOneIdentityOneSurvives(t *testing.T) {
	const n = 100
	s := newSite(t, fleet(2))
	s.load(func() {
		s.progress(50)
		var mu sync.Mutex
		var conns []*connection
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() {
				c, err := s.idle.connect(t.Context())
				if err != nil {
					return // taken over before the CONNACK
				}
				mu.Lock()
				defer mu.Unlock()
				conns = append(conns, c)
			})
		}
		wg.Wait()
		alive := 0
		for _, c := range conns {
			_ = c.SetDeadline(time.Now().Add(patience)) // of an open connection
			if _, err := c.Write(pingreq); err == nil {
				if kind, _, err := readPacket(c.in); err == nil && kind == typePong {
					alive++
				}
			}
			_ = c.Close() // said all it had to
		}
		if alive != 1 {
			t.Errorf("%d of %d connections survive", alive, len(conns))
		}
		s.progress(50)
	})
	s.verdict(inFlight(len(s.devices)))
}

func TestL3_AFloodOfConnectionsDoesNotDisturbThoseWhoAreIn(t *testing.T) {
	n := 3000
	if brief() {
		n = 300
	}
	s := newSite(t, fleet(4))
	s.slow()
	s.load(func() {
		s.progress(50)
		p99(s.devices)
		wait(2 * time.Second)
		before, logins := p99(s.devices), s.logins()
		var conns []net.Conn
		for i := range n {
			c, err := net.DialTimeout("tcp", s.addr, 5*time.Second)
			if err != nil {
				t.Errorf("connection %d: %v", i, err)
				break
			}
			conns = append(conns, c)
			wait(500 * time.Microsecond) // 2,000 a second
		}
		during := p99(s.devices)
		t.Logf("p99 %v before, %v during %d connections; %+v", before, during, len(conns), s.gateway.usage())
		for _, c := range conns {
			_ = c.Close() // nothing was said
		}
		if during > max(3*before, time.Second) || s.logins() != logins {
			t.Error("those who were in noticed")
		}
		s.progress(50)
	})
	s.verdict(inFlight(len(s.devices)))
}

func TestL4_ReloadingUnderLoadDisturbsNobody(t *testing.T) {
	s := newSite(t, fleet(6))
	s.load(func() {
		s.progress(100)
		logins := s.logins()
		for range 40 {
			s.gateway.signal(syscall.SIGHUP)
			wait(100 * time.Millisecond)
		}
		s.progress(100)
		if s.logins() != logins {
			t.Errorf("%d connections were lost", s.logins()-logins)
		}
	})
	s.verdict(inFlight(len(s.devices)))
}

func TestL7_WhatCannotStartSaysWhyAndStartsNothing(t *testing.T) {
	s := newSite(t, nil)
	good, err := os.ReadFile(s.path("gateway.toml"))
	s.must(err)
	s.must(os.WriteFile(s.path("a-file"), nil, 0o600))
	s.must(os.MkdirAll(s.path("foreign", "spool"), 0o700))
	s.must(os.WriteFile(s.path("foreign", "spool", "holiday.jpg"), []byte("pixels"), 0o600))
	port := fmt.Sprintf("mqtt_port = %d", portOf(s.addr))
	dir := `data_dir = "gateway"`
	for _, tt := range []struct{ name, old, new, says string }{
		{"L7 port in use", dir, `data_dir = "other"`, s.addr},
		{"L7 data directory is a file", dir, `data_dir = "a-file"`, "a-file"},
		{"L7 data directory holds something else", dir, `data_dir = "foreign"`, "holiday.jpg"},
		{"L7 no edge CA", `"edge.pem"`, `"nowhere.pem"`, "nowhere.pem"},
		{"L7 unknown key", port, "mqtt_prot = 1", "mqtt_port"},
		{"L7 no provisioning", `source = "manual"`, `source = "dps"`, "provisioning"},
		{"L7 empty", string(good), "", "hostname"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(string(good), tt.old, tt.new, 1)
			if text == string(good) {
				t.Fatalf("the configuration has no %s", tt.old)
			}
			if tt.says != s.addr {
				text = strings.Replace(text, port, "mqtt_port = "+itoa(portOf(freePort(t, s.near))), 1)
			}
			text = strings.Replace(text, dir, `data_dir = "another"`, 1)
			file := s.path(itoa(len(text)) + ".toml")
			s.must(os.WriteFile(file, []byte(text), 0o600))
			p := newProcess(t, "gateway", "edge", "--config", file)
			p.start()
			eventually(t, patience, "the end", func() bool { return !p.running() })
			if p.cmd.ProcessState.ExitCode() <= 0 || p.count("msg=ready") > 0 {
				t.Errorf("it ended with %v", p.err)
			}
			if p.count("sluice: ") == 0 || p.grep(tt.says) == "" || p.grep("goroutine ") != "" {
				t.Errorf("it does not say %q:\n%s", tt.says, strings.Join(p.said(), "\n"))
			}
		})
	}
	if entries, _ := os.ReadDir(s.path("foreign", "spool")); len(entries) != 1 {
		t.Errorf("it left %v in a directory that is not its own", entries)
	}
}

func TestF8_WithFewDescriptorsThoseWhoAreInGoOn(t *testing.T) {
	s := newSite(t, fleet(4), descriptors(256))
	s.slow()
	s.load(func() {
		s.progress(50)
		var conns []net.Conn
		defer func() {
			for _, c := range conns {
				_ = c.Close() // nothing was said
			}
		}()
		for range 400 {
			c, err := net.DialTimeout("tcp", s.addr, 5*time.Second)
			s.must(err)
			conns = append(conns, c)
		}
		s.gateway.until(patience, "too many connections")
		before := s.gateway.usage()
		logins := s.logins()
		wait(3 * time.Second)
		if cpu := s.gateway.usage().cpu - before.cpu; cpu > 1500*time.Millisecond {
			t.Errorf("it took %v of CPU in three seconds", cpu)
		}
		s.progress(50)
		if s.logins() != logins {
			t.Error("those who were in lost their connections")
		}
		for _, c := range conns {
			_ = c.Close() // nothing was said
		}
		eventually(t, patience, "a login", func() bool {
			c, err := s.idle.connect(t.Context())
			if err != nil {
				return false
			}
			_ = c.Close() // has shown what it should
			return true
		})
	})
	s.verdict(inFlight(len(s.devices)))
}

// descriptors limits how many files and connections the gateway may have open.
func descriptors(n int) option {
	return func(p *plan) { p.wrap = []string{"sh", "-c", "ulimit -n " + itoa(n) + `; exec "$@"`, "sh"} }
}

// The time is compared with that of this disk and of a question and its answer,
// measured between the messages, so that a busy machine slows all of them.
func TestD16_ALoneMessageDoesNotWaitForCompany(t *testing.T) {
	s := newSite(t, nil)
	c, err := s.idle.connect(t.Context())
	s.must(err)
	defer c.Close() //nolint:errcheck // said all it had to
	f, err := os.Create(s.path("probe"))
	s.must(err)
	defer f.Close() //nolint:errcheck // what it holds is worth nothing
	var syncs, pings, acks []time.Duration
	for i := range 200 {
		began := time.Now()
		_, err := f.Write(make([]byte, 400))
		s.must(errors.Join(err, f.Sync()))
		syncs = append(syncs, time.Since(began))
		began = time.Now()
		c.ping(t)
		pings = append(pings, time.Since(began))
		began = time.Now()
		_, err = c.Write(publish(telemetry("idle"), 1, uint16(i+1), []byte("alone"), false))
		s.must(err)
		kind, _, err := readPacket(c.in)
		if err != nil || kind != typePuback {
			t.Fatalf("packet %d, %v", kind, err)
		}
		acks = append(acks, time.Since(began))
	}
	fsync, ping, ack := median(syncs), median(pings), median(acks)
	t.Logf("median fsync %v, ping %v, acknowledgement %v", fsync, ping, ack)
	if ack > 2*(fsync+ping)+time.Millisecond {
		t.Errorf("a lone message is acknowledged after %v; an fsync takes %v, and a ping %v", ack, fsync, ping)
	}
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

func TestS8_TheSameTokenFromTwoPlacesTheNewerTakesOver(t *testing.T) {
	s := newSite(t, nil)
	d, err := hello(hubName, "idle", s.idle.key)
	s.must(err)
	var conns [2]*connection
	for i := range conns {
		conns[i], err = dialMQTT(t.Context(), s.addr, s.idle.tls, d)
		s.must(err)
		defer conns[i].Close() //nolint:errcheck // said all it had to
	}
	_ = conns[0].SetDeadline(time.Now().Add(patience)) // of an open connection
	if _, _, err := readPacket(conns[0].in); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the older connection is still there: %v", err)
	}
	conns[1].ping(t)
	if from := "remote=" + conns[0].LocalAddr().String(); !s.gateway.says(patience, "connection ended", "client=idle", from, "connected again") {
		t.Errorf("the log does not say that it was taken over: %s", s.gateway.grep(from))
	}
}
