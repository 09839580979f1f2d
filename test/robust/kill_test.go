//go:build unix

package robust

import (
	"testing"
	"time"

	"sluice/test/robust/ledger"
)

// between is a random time.
func (s *site) between(least, most time.Duration) time.Duration {
	return least + time.Duration(s.rng.Int64N(int64(most-least)))
}

// inFlight is what a fault may have caught: of each device at most a window of
// messages on their way to the hub, four batches of 32, and as many that the hub
// acknowledged in the moment before: a long one, on a machine with much to do.
func inFlight(devices int) ledger.Rules {
	return ledger.Rules{Slack: 5 * time.Second, Window: 2 * 4 * 32 * devices}
}

func (s *site) killGateway() {
	s.t.Helper()
	s.fault("kill:gateway")
	s.gateway.kill()
	s.startGateway()
}

func (s *site) killHub() {
	s.t.Helper()
	s.fault("kill:hub")
	s.hub.kill()
	s.startHub()
}

func (s *site) killBoth() {
	s.t.Helper()
	s.fault("kill:both")
	s.hub.kill()
	s.gateway.kill()
	s.startGateway() // without a hub
	s.startHub()
}

func (s *site) cut() {
	s.t.Helper()
	s.fault("cut")
	s.mqtt.cut()
	s.https.cut()
}

func (s *site) mend() {
	s.t.Helper()
	s.fault("mend") // what comes now may have been under way since the cut
	s.must(s.mqtt.mend())
	s.must(s.https.mend())
}

func TestD1_NothingAcknowledgedIsLostWhenTheGatewayIsKilledAgainAndAgain(t *testing.T) {
	n := kills(t, 50)
	s := newSite(t, fleet(16))
	s.load(func() {
		for range n {
			wait(s.between(50*time.Millisecond, 1200*time.Millisecond))
			s.killGateway()
		}
		s.progress(100)
	})
	if r := s.verdict(inFlight(len(s.devices))); r.Faults != n {
		t.Errorf("%d faults, want %d", r.Faults, n)
	}
}

// In half of the rounds the gateway dies without having reached the hub, in the
// others while it drains what has piled up.
func TestD2_NothingAcknowledgedIsLostWhenTheGatewayIsKilledWhileItDrains(t *testing.T) {
	n := kills(t, 12)
	s := newSite(t, fleet(8))
	for _, d := range s.devices {
		d.every = 5 * time.Millisecond
	}
	s.load(func() {
		for round := range n {
			s.cut()
			s.progress(500)
			if round%2 == 0 {
				before := s.judge.total()
				s.mend()
				eventually(t, patience, "draining", func() bool { return s.judge.total() > before })
				wait(s.between(0, 100*time.Millisecond))
			}
			s.killGateway()
		}
		s.mend()
	})
	s.verdict(inFlight(len(s.devices)))
}

func TestD1_NothingAcknowledgedIsLostWhateverDiesAndWhateverIsCut(t *testing.T) {
	n := kills(t, 20)
	s := newSite(t, fleet(12))
	faults := []func(){s.killGateway, s.killHub, s.killBoth, s.cut, s.mend, s.mend}
	s.load(func() {
		for range n {
			wait(s.between(50*time.Millisecond, 800*time.Millisecond))
			faults[s.rng.IntN(len(faults))]()
		}
		s.mend()
		s.progress(100)
	})
	s.verdict(inFlight(len(s.devices)))
}

func TestD12_AskedToEndUnderLoadItEndsSoonAndNothingIsLost(t *testing.T) {
	n := kills(t, 8)
	s := newSite(t, fleet(12))
	s.load(func() {
		for round := range n {
			if round == n/2 {
				s.cut() // ending must not wait for the hub
			}
			s.progress(200)
			wait(s.between(0, 300*time.Millisecond))
			s.fault("term:gateway")
			s.stop()
			s.startGateway()
		}
		s.mend()
	})
	s.verdict(inFlight(len(s.devices)))
}
