package module

import (
	"testing"
	"time"
)

func TestThePauseBeforeRestartsDoublesAndBeginsAnew(t *testing.T) {
	b := Backoff{First: time.Second, Max: 5 * time.Second, Reset: time.Minute}
	s := Status{Spec: Spec{Restart: Always}}
	now := noon
	fall := func(after time.Duration) time.Duration {
		s.begin(1, now)
		now = now.Add(after)
		pause, again := s.end(1, false, b, now)
		if !again || s.State != Waiting || s.PID != 0 || !s.Exited.Equal(now) || s.ExitCode != 1 {
			t.Errorf("%+v", s)
		}
		return pause
	}
	for i, want := range []time.Duration{1, 2, 4, 5, 5} {
		if got := fall(time.Millisecond); got != want*time.Second || s.Restarts != i+1 {
			t.Errorf("restart %d after %v, want %vs; %d restarts", i, got, int(want), s.Restarts)
		}
	}
	if got := fall(time.Minute); got != time.Second || s.Restarts != 1 {
		t.Errorf("after it ran well: restart after %v; %d restarts", got, s.Restarts)
	}
	// A clock that is set back does not keep a module down.
	if got := fall(-time.Hour); got != 2*time.Second {
		t.Errorf("after the clock was set back: %v", got)
	}
}

func TestThePauseIsBoundedHoweverOften(t *testing.T) {
	for _, n := range []int{0, 1, 10, 63, 64, 1 << 30} {
		if p := DefaultBackoff.pause(n); p < time.Second || p > 5*time.Minute {
			t.Errorf("restart %d after %v", n, p)
		}
	}
}
