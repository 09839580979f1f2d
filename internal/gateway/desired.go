package gateway

import (
	"context"
	"encoding/json"
	"sync"

	"sluice/internal/twin"
	"sluice/iot"
)

// desiredFlow carries changes of desired properties from the hub to a client. A
// change that the hub made while it, or the client, was away arrives afterwards,
// once, as one patch.
type desiredFlow struct {
	d       *downlink
	changed func(patch json.RawMessage)
	late    bool // the hub was away when the client asked for changes

	mu     sync.Mutex
	up     iot.Subscription // at the hub, or nil
	closed bool
}

var _ iot.Subscription = (*desiredFlow)(nil)

// DesiredChanges asks for patches of the desired properties.
func (s *session) DesiredChanges(changed func(patch json.RawMessage)) (iot.Subscription, error) {
	if err := s.Err(); err != nil {
		return nil, err
	}
	f := &desiredFlow{d: &s.down, changed: changed, late: !s.g.Online()}
	s.down.mu.Lock()
	before := s.down.desired
	s.down.desired = f
	s.down.begin()
	s.down.mu.Unlock()
	if before != nil {
		before.Close()
	}
	return f, nil
}

// attach subscribes first and asks for the twin then, so that no change falls
// between.
func (f *desiredFlow) attach(ctx context.Context, p *peer) error {
	up, err := p.session.DesiredChanges(func(patch json.RawMessage) { f.take(ctx, p, patch) })
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.up = up
	f.mu.Unlock()
	return f.catchUp(ctx, p)
}

func (f *desiredFlow) detach() {
	f.mu.Lock()
	up := f.up
	f.up = nil
	f.mu.Unlock()
	if up != nil {
		up.Close()
	}
}

// catchUp tells the client what it missed. A client whose twin was never seen
// has missed nothing: it has asked for it, or will. If the hub was away, it has
// asked in vain, and is told all.
func (f *desiredFlow) catchUp(ctx context.Context, p *peer) error {
	g, id := f.d.s.g, f.d.s.Identity()
	t, err := p.session.Twin(ctx)
	if err != nil {
		return err
	}
	defer g.twins.Lock(id)()
	before, err := g.twins.Get(id)
	if err != nil {
		return err
	}
	if !before.Known {
		if _, err = g.rememberTwin(id, t); err == nil && f.late {
			err = f.tellAll(id, before.Desired)
		}
		return err
	}
	// Only the desired properties of this answer count: since it was asked for,
	// the device may have reported.
	after := before
	after.Desired, err = twin.Received(twin.Desired, t.Desired, t.DesiredVersion, g.opt.Now())
	if err != nil || before.Desired.Version() >= after.Desired.Version() {
		return err // nothing was missed, or a later change overtook the answer
	}
	if err := g.twins.Put(id, after); err != nil {
		return err
	}
	f.tellChange(before.Effective(), after.Effective())
	return nil
}

// tellAll tells the client of all desired properties that are known now.
func (f *desiredFlow) tellAll(id iot.Identity, none twin.Document) error {
	st, err := f.d.s.g.twins.Get(id)
	if err == nil {
		f.tellChange(none, st.Effective())
	}
	return err
}

// take passes on a change, if it is the next one. If not, patches are missing, and
// the whole is asked for.
func (f *desiredFlow) take(ctx context.Context, p *peer, patch json.RawMessage) {
	g, id := f.d.s.g, f.d.s.Identity()
	var head struct {
		Version int64 `json:"$version"`
	}
	if err := json.Unmarshal(patch, &head); err != nil {
		g.log.Warn("the hub sent desired properties that are no JSON object", "identity", id, "err", err)
		return
	}
	g.spawn(func() {
		if !f.follow(patch, head.Version) {
			if err := f.catchUp(ctx, p); err != nil && ctx.Err() == nil {
				g.log.Warn("desired properties may be late", "identity", id, "err", err)
			}
		}
	})
}

// follow applies a patch that comes next, and reports whether it was, or is known
// already.
func (f *desiredFlow) follow(patch json.RawMessage, version int64) bool {
	g, id := f.d.s.g, f.d.s.Identity()
	defer g.twins.Lock(id)()
	st, err := g.twins.Get(id)
	if err != nil || !st.Known || version > st.Desired.Version()+1 {
		return false
	}
	if version <= st.Desired.Version() {
		return true
	}
	before := st
	if st.Desired, err = st.Desired.Follow(patch, version, g.opt.Now()); err != nil {
		return false
	}
	if err := g.twins.Put(id, st); err != nil {
		g.log.Warn("a twin is not remembered", "identity", id, "err", err)
	}
	if st.Override == nil {
		f.tell(patch)
	} else {
		f.tellChange(before.Effective(), st.Effective())
	}
	return true
}

// tellChange tells the client what is different, if anything is.
func (f *desiredFlow) tellChange(before, after twin.Document) {
	if !after.Equal(before) {
		f.tell(after.Change(before))
	}
}

func (f *desiredFlow) tell(patch json.RawMessage) {
	f.mu.Lock()
	closed := f.closed
	f.mu.Unlock()
	if !closed {
		f.changed(patch)
	}
}

// Grant does nothing: changes are not counted.
func (*desiredFlow) Grant(int) {}

// Revoke does nothing: changes are not counted.
func (*desiredFlow) Revoke() int { return 0 }

// Close ends the interest.
func (f *desiredFlow) Close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.d.mu.Lock()
	if f.d.desired == f {
		f.d.desired = nil
	}
	f.d.mu.Unlock()
	f.detach()
}
