package amqphead

import (
	"time"

	"sluice/amqp10"
)

// watch sees to it that the connection does not stay without an identity. c.mu is
// held.
func (c *conn) watch() {
	c.unwatch()
	if !c.finished && len(c.members) == 0 && !c.certified() {
		c.lonely = time.AfterFunc(c.head.opt.Grace, c.checkLonely)
	}
}

// unwatch is for a connection that is used, or has ended. c.mu is held.
func (c *conn) unwatch() {
	if c.lonely != nil {
		c.lonely.Stop()
		c.lonely = nil
	}
}

func (c *conn) checkLonely() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.finished || len(c.members) > 0:
	case c.hopeful():
		c.watch()
	default:
		c.amqp.Dismiss(amqp10.Errorf(amqp10.ErrUnauthorized, "no identity has proved itself"))
	}
}

// hopeful reports whether there is a token with which a link may be attached, or
// the service is used. c.mu is held.
func (c *conn) hopeful() bool {
	if c.desk != nil && c.desk.Authorized() {
		return true
	}
	now := time.Now()
	for _, p := range c.proofs {
		if p.accepted && now.Before(p.expires) {
			return true
		}
	}
	return false
}

// certified reports whether the client has shown a certificate, which proves who
// it is as long as it is connected.
func (c *conn) certified() bool {
	t := c.amqp.TLS()
	return t != nil && len(t.PeerCertificates) > 0
}
