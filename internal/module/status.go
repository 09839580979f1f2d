package module

import (
	"fmt"
	"time"
)

// A State is what a module is doing, in edgeAgent's words.
type State string

// The states.
const (
	Unknown State = "unknown" // nothing was done yet
	Running State = "running"
	Waiting State = "backoff" // it will be started again, or for the first time
	Stopped State = "stopped" // by the deployment, or it ended with success
	Failed  State = "failed"  // it will not be started again
)

// A Status is how a module is.
type Status struct {
	Spec        Spec
	State       State
	Description string // in words, for people
	PID         int    // 0 if it does not run
	Started     time.Time
	Exited      time.Time // when it last ended; zero if it never did
	ExitCode    int
	Restarts    int // since it last ran well
	Restarted   time.Time
}

// begin notes a start.
func (s *Status) begin(pid int, now time.Time) {
	s.State, s.Description = Running, "running"
	s.PID, s.Started = pid, now
	if s.Restarts > 0 {
		s.Restarted = now
	}
}

// end notes that the process has ended, and says what follows: after the pause it is
// to be started again, unless again is false. asked tells that it was stopped.
func (s *Status) end(code int, asked bool, b Backoff, now time.Time) (pause time.Duration, again bool) {
	s.PID, s.Exited, s.ExitCode = 0, now, code
	ran := now.Sub(s.Started)
	if ran >= b.Reset {
		s.Restarts = 0
	}
	switch {
	case asked:
		s.State, s.Description = Stopped, "stopped"
		return 0, true // by orders alone
	case s.Spec.Restart.Restarts(code):
		return s.restart(fmt.Sprintf("ended with exit code %d", code), b), true
	case code == 0:
		s.State, s.Description = Stopped, "ended with exit code 0"
	default:
		s.State, s.Description = Failed, fmt.Sprintf("ended with exit code %d", code)
	}
	return 0, false
}

// fail notes that the module could not be started.
func (s *Status) fail(err error, b Backoff) (pause time.Duration, again bool) {
	if s.Spec.Restart == Never {
		s.State, s.Description = Failed, err.Error()
		return 0, false
	}
	return s.restart(err.Error(), b), true
}

func (s *Status) restart(why string, b Backoff) time.Duration {
	pause := b.pause(s.Restarts)
	s.State, s.Description = Waiting, fmt.Sprintf("%s; started again after %v", why, pause)
	s.Restarts++
	return pause
}
