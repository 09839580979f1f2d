package module

import (
	"context"

	"sluice/internal/workload"
)

// A socket is where a unit's module finds the workload API, once it was started.
type socket struct {
	uid  int
	stop context.CancelFunc
	done chan struct{}
}

// open opens the socket for an account, if it is not open for it already.
func (s *socket) open(u *unit, who account) error {
	if s.stop != nil && s.uid == who.uid && !s.ended() {
		return nil
	}
	s.close()
	opened, err := u.r.opt.Workload.Listen(u.r.socketPath(u.name), u.name, workload.Access{UID: who.uid, Owns: u.owns})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	s.uid, s.stop, s.done = who.uid, stop, make(chan struct{})
	go func() {
		defer close(s.done)
		if err := opened.Serve(ctx); err != nil {
			u.r.log.Error("workload API", "module", u.name, "err", err)
		}
	}()
	return nil
}

func (s *socket) ended() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

func (s *socket) close() {
	if s.stop != nil {
		s.stop()
		<-s.done
		s.stop = nil
	}
}
