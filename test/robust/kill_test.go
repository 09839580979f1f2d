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

// A gateway that is killed has, of each device, at most a window of messages on
// their way to the hub, and as many that the hub has acknowledged in the moment
// before.
func inFlight(devices int) ledger.Rules {
	return ledger.Rules{Slack: 500 * time.Millisecond, Window: 2 * 64 * devices}
}

func TestD1_NothingAcknowledgedIsLostWhenTheGatewayIsKilledAgainAndAgain(t *testing.T) {
	n := kills(t, 50)
	s := newSite(t, fleet(16))
	s.load(func() {
		for range n {
			wait(s.between(50*time.Millisecond, 1500*time.Millisecond))
			s.fault("kill:gateway")
			s.gateway.kill()
			s.startGateway()
		}
		s.progress(100)
	})
	r := s.verdict(inFlight(len(s.devices)))
	if r.Faults != n {
		t.Errorf("%d faults, want %d", r.Faults, n)
	}
}
