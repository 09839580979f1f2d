package amqphead

import (
	"time"

	"sluice/amqp10"
)

// windDown is how long a client may take to close a connection of which the hub
// has ended the last session. Node's SDK detaches its links first, and takes 45
// seconds to notice if it cannot.
const windDown = 5 * time.Second

var nobody = amqp10.Errorf(amqp10.ErrUnauthorized, "no identity has proved itself")

// watch sees to it that the connection does not stay without an identity. c.mu is
// held.
func (c *conn) watch() {
	c.unwatch()
	if len(c.members) == 0 && !c.certified() {
		c.watchFor(c.head.opt.Grace, nobody)
	}
}

// watchFor closes the connection after a time if nobody uses it then. c.mu is held.
func (c *conn) watchFor(d time.Duration, why *amqp10.Error) {
	c.unwatch()
	if !c.finished {
		c.lonely = time.AfterFunc(d, func() { c.checkLonely(why) })
	}
}

// unwatch is for a connection that is used, or has ended. c.mu is held.
func (c *conn) unwatch() {
	if c.lonely != nil {
		c.lonely.Stop()
		c.lonely = nil
	}
}

func (c *conn) checkLonely(why *amqp10.Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.finished || len(c.members) > 0:
	case c.hopeful():
		c.watch()
	default:
		c.amqp.CloseWith(why)
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
