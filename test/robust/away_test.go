//go:build unix

package robust

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// slow makes devices send little, for tests that take long.
func (s *site) slow() {
	for _, d := range s.devices {
		d.window, d.every = 4, 100*time.Millisecond
	}
}

func TestU2_KnownDevicesLogInAfterARestartWithoutTheHub(t *testing.T) {
	s := newSite(t, fleet(4))
	s.load(func() {
		s.progress(100)
		s.cut()
		s.hub.kill()
		for range 3 {
			s.killGateway()
			s.progress(200)
		}
		for _, d := range s.devices {
			if n := d.acknowledged(); n < 50 {
				t.Errorf("%s had %d messages acknowledged", d.id, n)
			}
		}
		s.startHub()
		s.mend()
	})
	s.verdict(inFlight(len(s.devices)))
}

func TestU2_StrangersAreRefusedWhileTheHubIsAway(t *testing.T) {
	s := newSite(t, fleet(1))
	s.cut()
	s.gateway.until(patience, "uplink is down")
	stranger := s.newDevice("stranger", s.keys["device-01"])
	if _, err := stranger.connect(t.Context()); !errors.Is(err, refusedError(5)) {
		t.Errorf("a stranger got %v", err)
	}
	s.load(func() { s.progress(10) })
	s.verdict(inFlight(1))
}

func TestU3_DrainingStartsWithinFiveSecondsOfTheHubsReturn(t *testing.T) {
	s := newSite(t, fleet(4))
	s.slow()
	s.load(func() {
		s.progress(20)
		s.cut()
		s.progress(200)
		// Long enough for attempts to be as far apart as they will ever be.
		wait(10 * time.Second)
		before := s.judge.total()
		began := time.Now()
		s.mend()
		// Five seconds, of which attempts are four apart, and what a busy machine adds.
		eventually(t, 15*time.Second, "draining", func() bool { return s.judge.total() > before })
		t.Logf("draining started after %v", time.Since(began).Round(time.Millisecond))
	})
	s.verdict(inFlight(len(s.devices)))
}

func TestU4_ABlackHoleIsNoticedWithinAMinute(t *testing.T) {
	if brief() {
		t.Skip("takes a minute: set SLUICE_FULL=1")
	}
	t.Parallel()
	for _, tt := range []struct {
		name     string
		up, down bool
	}{
		{"nothing arrives", true, false},
		{"nothing comes back", false, true},
		{"neither", true, true},
	} {
		t.Run("U4 "+tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, fleet(3))
			s.slow()
			s.load(func() {
				s.progress(20)
				s.fault("plug")
				began := time.Now()
				s.mqtt.plug(tt.up, tt.down)
				s.https.plug(tt.up, tt.down)
				s.gateway.until(time.Minute, "uplink is down")
				t.Logf("noticed after %v", time.Since(began).Round(time.Millisecond))
				s.progress(20)
				s.mend()
				s.gateway.until(time.Minute, "uplink is up")
			})
			s.verdict(inFlight(len(s.devices)))
		})
	}
}

// Answers are lost, the messages arrive: they may come twice, in their order.
func TestU7_AnAcknowledgementOfTheHubIsLost(t *testing.T) {
	s := newSite(t, fleet(8))
	s.load(func() {
		for range 6 {
			s.progress(100)
			s.fault("answers-lost")
			s.mqtt.plug(false, true)
			wait(s.between(100*time.Millisecond, 700*time.Millisecond))
			s.fault("cut")
			s.mqtt.cut()
			s.mend()
			s.progress(100)
		}
	})
	r := s.verdict(inFlight(len(s.devices)))
	if r.InFlight == 0 {
		t.Error("nothing came twice: no answer was lost")
	}
}

func TestU4_AHubThatStandsStill(t *testing.T) {
	s := newSite(t, fleet(8))
	s.load(func() {
		for range 4 {
			s.progress(100)
			s.fault("stop:hub")
			s.hub.signal(syscall.SIGSTOP)
			s.progress(200) // the gateway goes on
			wait(s.between(0, 2*time.Second))
			s.fault("cont:hub")
			s.hub.signal(syscall.SIGCONT)
		}
	})
	s.verdict(inFlight(len(s.devices)))
}

func TestU13_AHubThatIsSlow(t *testing.T) {
	s := newSite(t, fleet(8))
	s.slow()
	s.load(func() {
		for _, c := range []*cable{s.mqtt, s.https} {
			c.up.slow(100 * time.Millisecond)
			c.down.slow(100 * time.Millisecond)
		}
		s.progress(500)
		eventually(t, patience, "something at the hub", func() bool { return s.judge.total() > 200 })
	})
	r := s.verdict(inFlight(len(s.devices)))
	if r.InFlight > 0 || s.gateway.count("uplink is down") > 0 {
		t.Error("a slow hub was taken for a dead one")
	}
}

func TestD13_AGatewayThatStoodStillGoesOn(t *testing.T) {
	still := time.Minute
	if brief() {
		still = 5 * time.Second
	}
	t.Parallel()
	s := newSite(t, fleet(8))
	s.slow()
	for _, d := range s.devices {
		d.answer = 3 * time.Second // then it tries another connection
	}
	s.load(func() {
		s.progress(50)
		s.fault("stop:gateway")
		s.gateway.signal(syscall.SIGSTOP)
		wait(still)
		before := s.logins()
		s.fault("cont:gateway")
		s.gateway.signal(syscall.SIGCONT)
		s.progress(100)
		wait(2 * time.Second)
		if n := s.logins() - before; n > 4*len(s.devices) {
			t.Errorf("%d logins in two seconds after it went on, of %d devices", n, len(s.devices))
		}
	})
	s.verdict(inFlight(len(s.devices)))
}

// logins counts the accepted CONNECTs of all devices.
func (s *site) logins() (n int) {
	for _, d := range s.devices {
		d.mu.Lock()
		n += d.logins
		d.mu.Unlock()
	}
	return n
}

func TestT4_MessagesThatWaitedTooLongAreNotDelivered(t *testing.T) {
	t.Parallel()
	const ttl = 4 * time.Second
	for _, tt := range []struct {
		name    string
		seconds string
		ttl     time.Duration
	}{
		{"T4 four seconds", "4", ttl},
		{"T4 for ever", "-1", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, fleet(2), storing("time_to_live_secs = "+tt.seconds))
			s.cut()
			for _, d := range s.devices {
				d.ttl = tt.ttl
			}
			s.load(func() { s.progress(100) })
			s.fault("kill:gateway")
			s.gateway.kill()
			wait(ttl + time.Second)
			s.startGateway()
			s.mend()
			s.gateway.until(patience, "uplink is up")
			s.load(func() { s.progress(50) })
			r := s.verdict(inFlight(len(s.devices)))
			if expired := r.Expired > 0; expired != (tt.ttl > 0) {
				t.Errorf("%d messages expired", r.Expired)
			}
		})
	}
}

// storing sets lines of [sluice.storage].
func storing(lines ...string) option {
	return func(p *plan) { p.storage = strings.Join(lines, "\n") }
}

func TestU5_ANameThatCannotBeFoundIsTriedAgain(t *testing.T) {
	s := newSite(t, fleet(2), func(p *plan) { p.line = "127.0.0.1" }) // as localhost
	s.load(func() {
		s.progress(20)
		s.relocate(s.line, "hub.invalid")
		s.gateway.until(patience, "hub cannot be reached", "hub.invalid")
		s.progress(50)
		if !s.gateway.running() {
			t.Error("it ended")
		}
		// Where ::1 comes first, nobody listens.
		s.relocate("hub.invalid", "localhost")
		s.gateway.until(patience, "uplink is up")
		s.progress(50)
	})
	s.verdict(inFlight(len(s.devices)))
}

// relocate changes the hub's address in the gateway's configuration, and starts
// the gateway again.
func (s *site) relocate(from, to string) {
	s.t.Helper()
	text, err := os.ReadFile(s.path("gateway.toml"))
	s.must(err)
	before, after, ok := strings.Cut(string(text), "[sluice.hub]\naddress = \""+from)
	if !ok {
		s.t.Fatalf("the hub is not at %s", from)
	}
	s.must(os.WriteFile(s.path("gateway.toml"), []byte(before+"[sluice.hub]\naddress = \""+to+after), 0o600))
	s.killGateway()
}
