package translate

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"sync"
	"time"

	"sluice/internal/leafwire"
	"sluice/iot"
)

// A conn is a leaf's session at the gateway. Its locks are taken in this order:
// telling.mu, Module.mu, mu.
type conn struct {
	m       *Module
	l       *leaf
	session iot.Session

	has leafwire.Hello // what is listened for; Module.mu

	mu       sync.Mutex
	used     time.Time
	ended    bool
	commands iot.Subscription

	telling struct {
		mu      sync.Mutex
		begun   bool    // the whole section was told
		version int64   // of it
		early   []patch // came before
	}
}

// A patch is one of desired properties.
type patch struct {
	body    json.RawMessage
	version int64
}

// connOf returns the leaf's session, and opens it if need be. The leaf is busy.
func (m *Module) connOf(ctx context.Context, l *leaf) (*conn, error) {
	m.mu.Lock()
	c, wants := l.conn, m.features(l)
	m.mu.Unlock()
	if c != nil && !c.hasMore(wants) {
		return c, nil
	}
	if c != nil {
		m.drop(l, c) // what it has too much ends with it
	}
	c = &conn{m: m, l: l, used: time.Now()}
	ctx, cancel := context.WithTimeout(ctx, operationTimeout)
	defer cancel()
	session, err := m.opt.Gateway.ConnectLeaf(ctx, l.id, iot.Client{Protocol: "module", Product: product, Ended: c.lost})
	if err != nil {
		return nil, err
	}
	c.session = session
	m.mu.Lock()
	c.mu.Lock()
	ended := c.ended
	c.mu.Unlock()
	if !ended {
		l.conn = c
	}
	m.mu.Unlock()
	if ended {
		_ = session.Close()
		return nil, iot.Errorf(iot.Unavailable, "connect", iot.DeviceIdentity(l.id), "the session ended at once")
	}
	return c, nil
}

// lost is told when the gateway ends the session.
func (c *conn) lost(reason error) {
	m := c.m
	m.mu.Lock()
	defer m.mu.Unlock()
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	if c.l.conn != c {
		return
	}
	c.l.conn = nil
	if !c.l.busy { // or else whoever is at it notices
		m.judge(c.l, reason)
		m.consider(c.l)
	}
}

// drop closes a leaf's session.
func (m *Module) drop(l *leaf, c *conn) {
	m.mu.Lock()
	if l.conn == c {
		l.conn = nil
	}
	m.mu.Unlock()
	c.close()
}

func (c *conn) close() { _ = c.session.Close() }

func (c *conn) touch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used = time.Now()
}

// idle reports whether the session only sends, and has not for a time. [Module.mu held]
func (c *conn) idle(now time.Time, after time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.has == leafwire.Hello{} && now.Sub(c.used) >= after
}

// hasMore reports whether the session listens for what is not wanted.
func (c *conn) hasMore(wants leafwire.Hello) bool {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	return c.has.Methods && !wants.Methods || c.has.Desired && !wants.Desired || c.has.Commands && !wants.Commands
}

// listen asks for what the leaf's translator wants and has not.
func (c *conn) listen(ctx context.Context) error {
	c.m.mu.Lock()
	wants := c.m.features(c.l)
	c.m.mu.Unlock()
	return errors.Join(
		c.want(ctx, wants.Methods, &c.has.Methods, c.listenForMethods),
		c.want(ctx, wants.Commands, &c.has.Commands, c.listenForCommands),
		c.want(ctx, wants.Desired, &c.has.Desired, c.followDesired),
	)
}

// want asks for something that is wanted and that the session has not.
func (c *conn) want(ctx context.Context, wanted bool, has *bool, ask func(context.Context) error) error {
	c.m.mu.Lock()
	had := *has
	*has = had || wanted // before the answer: what comes at once may show that it failed
	c.m.mu.Unlock()
	if had || !wanted {
		return nil
	}
	err := ask(ctx)
	if err != nil {
		c.m.mu.Lock()
		*has = false
		c.m.mu.Unlock()
	}
	return err
}

// repeatDesired has the whole section told again.
func (c *conn) repeatDesired() {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	c.has.Desired = false
	c.m.consider(c.l)
}

// followDesired tells the translator all desired properties, and then each change.
func (c *conn) followDesired(ctx context.Context) error {
	t := &c.telling
	t.mu.Lock()
	t.begun, t.early = false, nil
	t.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, operationTimeout)
	defer cancel()
	// Asked for before the section is read, so that no change is between the two.
	if _, err := c.session.DesiredChanges(c.changed); err != nil {
		return err
	}
	twin, err := c.session.Twin(ctx)
	if err != nil {
		return err
	}
	whole, err := withVersion(twin.Desired, twin.DesiredVersion)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.begun, t.version = true, twin.DesiredVersion
	c.tell(leafwire.Desired{Full: true, Patch: whole})
	for _, p := range t.early {
		if p.version > t.version {
			c.tell(leafwire.Desired{Patch: p.body})
		}
	}
	t.early = nil
	return nil
}

// changed is told of a change of desired properties.
func (c *conn) changed(body json.RawMessage) {
	var v struct {
		Version int64 `json:"$version"`
	}
	if json.Unmarshal(body, &v) != nil || v.Version == 0 {
		v.Version = math.MaxInt64 // it is told in any case
	}
	t := &c.telling
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case !t.begun:
		t.early = append(t.early, patch{body, v.Version})
	case v.Version > t.version:
		c.tell(leafwire.Desired{Patch: body})
	}
}

// tell tells the translator; what does not arrive is told again as a whole.
// [telling.mu held]
func (c *conn) tell(d leafwire.Desired) {
	route := leafwire.Route{Leaf: c.l.id, Module: c.module()}
	c.m.herald.tell(route.Desired(d), func(err error) {
		if err != nil {
			c.repeatDesired()
		}
	})
}

// withVersion is a section with its version in it.
func withVersion(section json.RawMessage, version int64) (json.RawMessage, error) {
	all := map[string]json.RawMessage{}
	if len(section) > 0 {
		if err := json.Unmarshal(section, &all); err != nil {
			return nil, err
		}
	}
	all["$version"] = json.RawMessage(strconv.FormatInt(version, 10))
	return json.Marshal(all)
}
