//go:build unix

package robust

import (
	"os"
	"testing"
	"time"
)

// soakTime is how long the soak takes: SLUICE_SOAK, such as 5m or 24h, or else twenty
// seconds, or five if the tests are brief.
func soakTime(t *testing.T) time.Duration {
	t.Helper()
	if text := os.Getenv("SLUICE_SOAK"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("SLUICE_SOAK: %v", err)
		}
		return d
	}
	if brief() {
		return 5 * time.Second
	}
	return 20 * time.Second
}

// kick ends the connection of a device, by another with its name.
func (s *site) kick(d *device) {
	s.t.Helper()
	s.fault("kick:" + d.id)
	c, err := d.connect(s.t.Context())
	if err != nil {
		return // the gateway is busy with coming back
	}
	_ = c.Close() // its end was reached
}

// A memory samples how much a process has, in the first half of the soak and in the
// second.
type memory struct {
	p      *process
	halves [2]int // KiB, the most
}

func (m *memory) sample(half int) {
	if m.p.running() {
		m.halves[half] = max(m.halves[half], m.p.usage().rss)
	}
}

// flat reports whether the second half took no more than the first, but for what
// comes and goes.
func (m *memory) flat(t *testing.T) {
	t.Helper()
	t.Logf("%s: at most %d KiB resident in the first half, %d in the second", m.p.name, m.halves[0], m.halves[1])
	if m.halves[1] > m.halves[0]+m.halves[0]/4+32<<10 {
		t.Errorf("%s takes more and more: %d KiB, then %d", m.p.name, m.halves[0], m.halves[1])
	}
}

// Gateway, hub, module, devices and the line between die at random, for as long as one
// likes. What goes to the hub directly, what goes to the module, and what the module
// says arrives, in order, and no memory is lost.
func TestL9_SoakWithModules(t *testing.T) {
	length := soakTime(t)
	s, m := newModuleSite(t, 6, 4)
	used := []*memory{{p: s.gateway}, {p: s.hub}}
	faults := []func(){
		s.killGateway, s.killHub, s.killBoth, s.cut, s.mend, s.mend,
		func() { s.fault("kill:module"); m.kill() },
		func() { s.fault("kill:module"); m.kill() },
		func() { s.kick(s.devices[s.rng.IntN(len(s.devices))]) },
	}
	s.load(func() {
		began := time.Now()
		for time.Since(began) < length {
			wait(s.between(50*time.Millisecond, 1500*time.Millisecond))
			half := 0
			if time.Since(began) > length/2 {
				half = 1
			}
			for _, u := range used {
				u.sample(half)
			}
			faults[s.rng.IntN(len(faults))]()
		}
		s.mend()
		s.progress(100)
	})
	m.end(s)
	r := s.verdict(inFlight(len(s.devices)))
	if m.acknowledged() == 0 || r.Faults < 3 {
		t.Errorf("the module has said %d things, at %d faults: the test has tested nothing", m.acknowledged(), r.Faults)
	}
	for _, u := range used {
		u.flat(t)
	}
}
