package robust

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// smallDisk mounts a file system of its own for the gateway's data.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size+",mode=0700"); err != nil {
		t.Skipf("a small disk cannot be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

// fill takes the space of a file system but for the last free bytes, and returns
// a function that gives it back.
func fill(t *testing.T, dir string, free uint64) (empty func()) {
	t.Helper()
	name := filepath.Join(dir, "filler")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // what it holds is worth nothing
	for block := make([]byte, 4096); available(t, dir) > free; {
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		if err := os.Remove(name); err != nil {
			t.Error(err)
		}
	}
}

func available(t *testing.T, dir string) uint64 {
	t.Helper()
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	return st.Bavail * uint64(st.Bsize)
}

// takesNothing checks that no more than a few messages are acknowledged for a
// while, though devices try.
func (s *site) takesNothing(few int) {
	s.t.Helper()
	s.silence(few) // acknowledgements are under way
	before, logins := s.acknowledged(), s.logins()
	wait(2 * time.Second)
	if n := s.acknowledged() - before; n > few {
		s.t.Errorf("%d messages were acknowledged that cannot be kept", n)
	}
	if s.logins() == logins {
		s.t.Error("no device tried")
	}
}

// silence waits until no more than a few messages are acknowledged in a second.
func (s *site) silence(few int) {
	s.t.Helper()
	last, since := s.acknowledged(), time.Now()
	eventually(s.t, patience, "an end of acknowledgements", func() bool {
		if n := s.acknowledged(); n > last+few {
			last, since = n, time.Now()
		}
		return time.Since(since) > time.Second
	})
}

func TestF1_AFullDiskRefusesKeepsAndRecovers(t *testing.T) {
	for _, tt := range []struct {
		name, minFree, reason string
		left                  uint64 // bytes that others leave
	}{
		{"F1 less than min_free_bytes", "min_free_bytes = 16_777_216", "free space on disk", 12 << 20},
		{"F1 not a byte", "min_free_bytes = 4096", "spool: ", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := smallDisk(t, "192m")
			s := newSite(t, fleet(6), storing(tt.minFree), data(filepath.Join(dir, "gateway")))
			pid := s.gateway.pid()
			s.load(func() {
				s.progress(200)
				s.cut()
				s.progress(500)
				empty := fill(t, dir, tt.left)
				s.gateway.until(patience, "level=WARN", tt.reason)
				s.gateway.until(patience, "no space left on disk", "device-01")
				s.takesNothing(0)
				s.mend()
				eventually(t, patience, "draining on a full disk", func() bool { return s.judge.missing(s.devices) == 0 })
				empty()
				began := time.Now()
				s.progress(50)
				if took := time.Since(began); took > patience/2 {
					t.Errorf("recovered after %v", took)
				}
			})
			if s.gateway.pid() != pid || !s.gateway.running() {
				t.Error("it was restarted")
			}
			s.verdict(inFlight(len(s.devices)))
			s.stop()
		})
	}
}

// What is not telemetry is kept as well, elsewhere: it waits for space, and nothing else
// happens.
func TestF1_ReportedPropertiesWaitForSpace(t *testing.T) {
	dir := smallDisk(t, "128m")
	s := newSite(t, fleet(1), storing("min_free_bytes = 4096"), data(filepath.Join(dir, "gateway")))
	pid := s.gateway.pid()
	c, err := s.devices[0].connect(t.Context())
	s.must(err)
	defer c.Close() //nolint:errcheck // the end of the test
	var sent uint16
	patch := func(limit time.Duration) error {
		sent++
		topic := fmt.Sprintf("$iothub/twin/PATCH/properties/reported/?$rid=%d", sent)
		body := fmt.Appendf(nil, `{"n": %d, "text": %q}`, sent, strings.Repeat(strconv.Itoa(int(sent)), 1000))
		s.must(c.SetReadDeadline(time.Now().Add(limit)))
		if _, err := c.Write(publish(topic, 1, sent, body, false)); err != nil {
			return err
		}
		_, _, err := readPacket(c.in)
		return err
	}
	s.must(patch(patience))
	s.cut()
	empty := fill(t, dir, 0)
	for err = error(nil); err == nil && sent < 3000; {
		err = patch(2 * time.Second)
	}
	t.Logf("%d patches, the last: %v", sent, err)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection ended: %v", err)
	}
	if s.gateway.pid() != pid || !s.gateway.running() {
		t.Error("the gateway was restarted")
	}
	empty()
	if err != nil {
		s.must(c.SetReadDeadline(time.Now().Add(patience)))
		_, _, err = readPacket(c.in)
		s.must(err)
	}
	s.must(patch(patience))
	s.stop()
}

func TestF10_TheSizeLimitRefusesTheNewestAndKeepsTheRest(t *testing.T) {
	s := newSite(t, fleet(6), storing("max_bytes = 1_000_000"))
	s.load(func() {
		s.progress(100)
		for range 2 {
			s.cut()
			s.gateway.untilMore(patience, "size limit reached", "device-01")
			s.takesNothing(s.devices[0].window) // where many do not fit, fewer may
			s.mend()
			began := time.Now()
			s.progress(500)
			t.Logf("recovered after %v", time.Since(began).Round(time.Millisecond))
		}
	})
	s.verdict(inFlight(len(s.devices)))
}

// data sets the gateway's data directory.
func data(dir string) option { return func(p *plan) { p.dataDir = dir } }

func TestF9_ASecondGatewayOnTheSameDataIsRefusedAndTheFirstGoesOn(t *testing.T) {
	s := newSite(t, fleet(2))
	s.load(func() {
		s.progress(20)
		second := newProcess(t, "second gateway", s.gateway.args...)
		second.start()
		<-second.gone
		if second.cmd.ProcessState.ExitCode() <= 0 {
			t.Errorf("it ended with %v", second.err)
		}
		if second.count(itoa(s.gateway.pid())) == 0 {
			t.Errorf("it does not name process %d:\n%v", s.gateway.pid(), second.said())
		}
		s.progress(20)
	})
	s.verdict(inFlight(len(s.devices)))
}
