package gateway

import (
	"context"
	"sync"

	"sluice/iot"
)

// A downlink brings a connected client what the hub has for it: commands, method
// calls, changes of its desired properties. It begins with the client's first
// interest and ends with its session. While the hub is there it holds the
// identity's session at the hub, and subscribes to what the client wants, again
// after each break.
type downlink struct {
	s *session

	mu        sync.Mutex
	end       context.CancelFunc // nil until it has begun
	wake      chan struct{}      // has a token when wants have changed; capacity 1
	commands  *commandFlow
	methods   bool
	offer     iot.Subscription // of methods; closed when the client leaves
	methodsUp iot.Subscription // of methods, at the hub; nil while there is none
	desired   *desiredFlow
	inputs    *inputFlow // of a module: from the spool, whether the hub is there or not
}

// A stream is one kind of thing that the hub has for a client.
type stream interface {
	// attach subscribes at the hub. detach is called when the hub's session has
	// ended, if attach succeeded.
	attach(ctx context.Context, p *peer) error
	detach()
}

// begin starts the downlink, or lets it see what is new. mu is held. A session
// that has left begins nothing: it is not told of anything more.
func (d *downlink) begin() {
	switch {
	case d.end != nil:
		select {
		case d.wake <- struct{}{}:
		default: // it will look anyway
		}
	case d.s.Err() == nil:
		var ctx context.Context
		ctx, d.end = context.WithCancel(d.s.g.life)
		d.wake = make(chan struct{}, 1)
		d.s.g.spawn(func() { d.run(ctx) })
	}
}

// run holds the identity's session at the hub, until ctx ends with the client's
// session or the gateway.
func (d *downlink) run(ctx context.Context) {
	up := d.s.g.uplink
	for tries := 1; up.online.wait(ctx); tries++ {
		p, err := up.peers.get(ctx, d.s.Identity())
		if err == nil {
			tries = 0
			err = d.hold(ctx, p)
			up.peers.put(p)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			d.refused(ctx, err)
		}
		pause(ctx, backoff(max(1, tries))/4)
	}
}

// refused asks about an identity that the hub does not let in: it may be one no
// more.
func (d *downlink) refused(ctx context.Context, err error) {
	id := d.s.Identity()
	d.s.g.log.Debug("the hub has nothing for an identity now", "identity", id, "err", err)
	if iot.KindOf(err) == iot.Unauthorized {
		d.s.g.scope.Lookup(ctx, id)
	}
}

// hold attaches what the client wants to the peer, and more as it wants more,
// until the peer is gone or ctx ends.
func (d *downlink) hold(ctx context.Context, p *peer) error {
	attached := map[stream]bool{}
	defer func() {
		for s := range attached {
			s.detach()
		}
	}()
	for {
		for _, s := range d.streams() {
			if attached[s] {
				continue
			}
			if err := s.attach(ctx, p); err != nil {
				d.s.g.uplink.peers.drop(p)
				return err
			}
			attached[s] = true
		}
		select {
		case <-p.gone:
			return nil
		case <-d.wake:
		case <-ctx.Done():
			return nil
		}
	}
}

// streams lists what the client wants.
func (d *downlink) streams() (list []stream) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.desired != nil {
		list = append(list, d.desired)
	}
	if d.methods {
		list = append(list, methodFlow{d})
	}
	if d.commands != nil {
		list = append(list, d.commands)
	}
	return list
}
