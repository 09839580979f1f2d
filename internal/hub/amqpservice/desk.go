package amqpservice

import (
	"context"
	"slices"
	"sync"
	"time"

	"sluice/amqp10"
	"sluice/internal/sas"
	"sluice/iot"
)

// A desk is the service of one connection. It has goroutines only for links that
// wait for something.
type desk struct {
	service *Service
	conn    *amqp10.Conn

	life  context.Context // ends with the connection
	stop  context.CancelFunc
	work  sync.WaitGroup
	asked desks // the links from $management

	mu     sync.Mutex
	grants []grant
	links  map[*link]struct{}
	expiry *time.Timer // until something may have expired; nil if nothing can
}

// Bounds of one connection. Links are bounded by the listener's head as well.
const (
	maxGrants = 1024
	maxLinks  = 1024
)

// A link is one link that needs a grant.
type link struct {
	address address
	end     ending // nil until it is accepted
	why     *amqp10.Error
}

// An ending is either end of a link.
type ending interface{ CloseWith(*amqp10.Error) }

func newDesk(s *Service, c *amqp10.Conn) *desk {
	d := &desk{service: s, conn: c}
	d.life, d.stop = context.WithCancel(context.Background())
	return d
}

// PutToken implements [amqphead.Desk].
func (d *desk) PutToken(t sas.Token) error {
	g, err := d.service.judge(t)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.service.opt.Now()
	d.grants = slices.DeleteFunc(d.grants, func(other grant) bool {
		return other.path == g.path && other.expires != never || !now.Before(other.expires)
	})
	if len(d.grants) >= maxGrants {
		return iot.Errorf(iot.Throttled, "put-token", iot.Identity{}, "the connection has %d tokens; use another", len(d.grants))
	}
	d.grants = append(d.grants, g)
	d.watch()
	return nil
}

// Authorized implements [amqphead.Desk].
func (d *desk) Authorized() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.service.opt.Now()
	return slices.ContainsFunc(d.grants, func(g grant) bool { return now.Before(g.expires) })
}

// covered reports whether a grant covers the path. d.mu is held.
func (d *desk) covered(path string, now time.Time) bool {
	return slices.ContainsFunc(d.grants, func(g grant) bool { return g.covers(path, now) })
}

// watch looks again when the next token has expired. d.mu is held.
func (d *desk) watch() {
	if d.expiry != nil {
		d.expiry.Stop()
		d.expiry = nil
	}
	next := never
	for _, g := range d.grants {
		if g.expires.Before(next) {
			next = g.expires
		}
	}
	if next != never && d.life.Err() == nil {
		d.expiry = time.AfterFunc(max(next.Sub(d.service.opt.Now()), 0), d.expire)
	}
}

// expire closes the links that no token covers any more.
func (d *desk) expire() {
	d.mu.Lock()
	now := d.service.opt.Now()
	d.grants = slices.DeleteFunc(d.grants, func(g grant) bool { return !now.Before(g.expires) })
	var over []*link
	for l := range d.links {
		if !d.covered(l.address.path, now) {
			over = append(over, l)
		}
	}
	d.watch()
	d.mu.Unlock()
	for _, l := range over {
		d.end(l, amqp10.Errorf(amqp10.ErrUnauthorized, "the token has expired"))
	}
}

// end closes a link, perhaps as soon as it is accepted.
func (d *desk) end(l *link, why *amqp10.Error) {
	d.mu.Lock()
	l.why = why
	end := l.end
	d.mu.Unlock()
	if end != nil {
		end.CloseWith(why)
	}
}

// admit notes a link that is about to be accepted, or says why it is not.
func (d *desk) admit(a address) (*link, *amqp10.Error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.covered(a.path, d.service.opt.Now()) {
		return nil, amqp10.Errorf(amqp10.ErrUnauthorized, "no token allows %.300q; a policy needs the right ServiceConnect", a.path)
	}
	if len(d.links) >= maxLinks {
		return nil, amqp10.Errorf(amqp10.ErrResourceLimit, "the connection has %d links; use another", len(d.links))
	}
	if d.links == nil {
		d.links = make(map[*link]struct{})
	}
	l := &link{address: a}
	d.links[l] = struct{}{}
	if d.expiry == nil {
		d.watch() // for the token of SASL PLAIN
	}
	return l, nil
}

// accepted says that a link is there.
func (d *desk) accepted(l *link, end ending) {
	d.mu.Lock()
	l.end = end
	why := l.why
	d.mu.Unlock()
	if why != nil {
		end.CloseWith(why)
	}
}

// gone forgets a link.
func (d *desk) gone(l *link) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.links, l)
}

// Attach implements [amqphead.Desk].
func (d *desk) Attach(r *amqp10.LinkRequest) {
	a := parseAddress(nodeAddress(r))
	if a.node == management && a.hub == "" {
		a.path = normalize(d.service.opt.EventHub + "/" + a.path)
	}
	l, refusal := d.admit(a)
	if refusal == nil {
		refusal = d.accept(r, l)
	}
	if refusal != nil {
		if l != nil {
			d.gone(l)
		}
		d.service.opt.Log.Info("amqpservice: link refused", "remote", d.conn.RemoteAddr().String(), "address", nodeAddress(r), "err", refusal)
		r.Refuse(refusal)
	}
}

// accept accepts a link, or says why not.
func (d *desk) accept(r *amqp10.LinkRequest, l *link) *amqp10.Error {
	sending := r.Role == amqp10.RoleSender
	switch n := l.address.node; {
	case n == builtIn:
		return d.service.redirect(l.address)
	case n == deviceBound && !sending:
		return d.acceptCommands(r, l)
	case n == feedback && sending:
		return d.acceptFeedback(r, l)
	case n == fileNotifications && sending:
		return d.acceptNotifications(r, l)
	case n == management && sending:
		return d.acceptAnswers(r, l)
	case n == management:
		return d.acceptQuestions(r, l)
	case n == partition && sending:
		return d.acceptReader(r, l)
	}
	return amqp10.Errorf(amqp10.ErrNotFound, "%.300q is not a node of the service that can be used in this way", nodeAddress(r))
}

// nodeAddress is the address of the node, which is at our end of the link.
func nodeAddress(r *amqp10.LinkRequest) string {
	switch {
	case r.Role == amqp10.RoleReceiver && r.Target != nil:
		return r.Target.Address
	case r.Role == amqp10.RoleSender && r.Source != nil:
		return r.Source.Address
	}
	return ""
}

// Closed implements [amqphead.Desk]. It returns when nothing of the connection is
// left.
func (d *desk) Closed(error) {
	d.mu.Lock()
	d.stop()
	if d.expiry != nil {
		d.expiry.Stop()
	}
	d.mu.Unlock()
	d.work.Wait()
}
