package amqp10

import "context"

// signal tells waiting goroutines that something has changed. It is guarded by
// its connection's mu, and costs nothing while nobody waits.
type signal struct{ ch chan struct{} }

func (s *signal) wait() <-chan struct{} {
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

func (s *signal) fire() {
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}

// await returns when ready, which is called with mu held, says so or fails, or
// when ctx ends. It looks again each time that s fires.
func (c *Conn) await(ctx context.Context, s *signal, ready func() (bool, error)) error {
	for {
		c.mu.Lock()
		ok, err := ready()
		changed := s.wait()
		c.mu.Unlock()
		if ok || err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
