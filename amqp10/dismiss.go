package amqp10

// Dismiss ends all sessions and closes the connection, each with err, and returns
// at once. It says what CloseWith says in a form that peers understand who look for
// the reason of an end at their sessions, or who first detach what they have
// attached before they believe that a connection is closed.
func (c *Conn) Dismiss(err *Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.local {
		if s != nil {
			s.flush()
			s.fail(err)
		}
	}
	c.fail(err)
	c.notify()
}

// forced is what connections end with when their server's context does.
var forced = Errorf(ErrConnectionForced, "shutting down")

// stop ends a connection because the server's context has ended.
func (s *Server) stop(c *Conn) {
	if s.Stopping == nil {
		c.CloseWith(forced)
		return
	}
	c.Dismiss(s.Stopping)
}
