package gateway

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"sluice/internal/gateway/meter"
	"sluice/internal/gateway/twins"
	"sluice/internal/twin"
	"sluice/iot"
)

// Twin returns the twin of the session's identity: the hub's, or, while the hub
// is away, the hub's last with what was reported since.
func (s *session) Twin(ctx context.Context) (iot.Twin, error) {
	if err := s.Err(); err != nil {
		return iot.Twin{}, err
	}
	g, id := s.g, s.Identity()
	began, source := time.Now(), toUpstream
	defer func() { timed(s.meter, meter.TwinsRead, meter.TwinReadDuration, source, began) }()
	defer g.twins.Lock(id)()
	if g.Online() {
		t, err := g.fetchTwin(ctx, id)
		if err == nil || !iot.KindOf(err).Retryable() {
			return t, err
		}
	}
	source = atEdgeHub
	st, err := g.twins.Get(id)
	if err == nil && !st.Known {
		err = iot.Errorf(iot.Unavailable, "twin", id, "the hub is away, and has never told this twin")
	}
	return st.ForDevice(), err
}

// fetchTwin gets the twin from the hub, after what is pending was sent there, and
// remembers it. The twin's lock is held.
func (g *Gateway) fetchTwin(ctx context.Context, id iot.Identity) (iot.Twin, error) {
	p, err := g.uplink.peers.get(ctx, id)
	if err != nil {
		return iot.Twin{}, err
	}
	defer g.uplink.peers.put(p)
	if err := g.flushReported(ctx, id, p); err != nil {
		return iot.Twin{}, err
	}
	t, err := p.session.Twin(ctx)
	if err != nil {
		return iot.Twin{}, err
	}
	before, err := g.rememberTwin(id, t)
	if err == nil && before.Override != nil {
		var st twins.State
		st, err = g.twins.Get(id)
		t.Desired = st.ForDevice().Desired
	}
	return t, err
}

// rememberTwin stores what the hub said, and returns what was known before. The
// twin's lock is held.
func (g *Gateway) rememberTwin(id iot.Identity, t iot.Twin) (before twins.State, err error) {
	if before, err = g.twins.Get(id); err != nil {
		return before, err
	}
	now := g.opt.Now()
	after := twins.State{Known: true, Pending: before.Pending, Override: before.Override}
	if after.Desired, err = twin.Received(twin.Desired, t.Desired, t.DesiredVersion, now); err != nil {
		return before, err
	}
	if after.Reported, err = twin.Received(twin.Reported, t.Reported, t.ReportedVersion, now); err != nil {
		return before, err
	}
	if before.Known && len(before.Pending) == 0 && same(before.Desired, after.Desired) && same(before.Reported, after.Reported) {
		return before, nil
	}
	for _, patch := range after.Pending {
		if next, err := after.Reported.Merge(patch, now); err == nil {
			after.Reported = next
		}
	}
	return before, g.twins.Put(id, after)
}

// same reports whether there is nothing new in a document: nothing needs to be stored.
func same(a, b twin.Document) bool { return a.Version() == b.Version() && a.Equal(b) }

// PatchReported merges a patch into the reported properties: at the hub, or, while
// that is away, here, on stable storage, for the hub when it is back.
func (s *session) PatchReported(ctx context.Context, patch json.RawMessage) (version int64, err error) {
	if err := s.Err(); err != nil {
		return 0, err
	}
	g, id := s.g, s.Identity()
	began, target := time.Now(), toUpstream
	defer func() { timed(s.meter, meter.ReportsTaken, meter.ReportDuration, target, began) }()
	defer g.twins.Lock(id)()
	if g.Online() {
		version, err = g.report(ctx, id, patch)
		if err == nil {
			g.announce(id, patch)
		}
		if err == nil || !iot.KindOf(err).Retryable() {
			return version, err
		}
	}
	target = atEdgeHub
	if version, err = g.keepReported(id, patch); err == nil {
		g.announce(id, patch)
	}
	return version, err
}

// report sends a patch to the hub, after those that are pending.
func (g *Gateway) report(ctx context.Context, id iot.Identity, patch json.RawMessage) (version int64, err error) {
	p, err := g.uplink.peers.get(ctx, id)
	if err != nil {
		return 0, err
	}
	defer g.uplink.peers.put(p)
	if err := g.flushReported(ctx, id, p); err != nil {
		return 0, err
	}
	if version, err = p.session.PatchReported(ctx, patch); err != nil {
		return 0, err
	}
	st, err := g.twins.Get(id)
	if err == nil && st.Known {
		if st.Reported, err = st.Reported.Follow(patch, version, g.opt.Now()); err == nil {
			err = g.twins.Put(id, st)
		}
	}
	if err != nil {
		g.log.Warn("a twin is not remembered", "identity", id, "err", err)
	}
	return version, nil
}

// keepReported stores a patch until the hub is back. Patches that can be are
// joined, so that a device which reports every second all night leaves one. The
// version is what the hub's will be if nobody else reports.
func (g *Gateway) keepReported(id iot.Identity, patch json.RawMessage) (version int64, err error) {
	st, err := g.twins.Get(id)
	if err != nil {
		return 0, err
	}
	if st.Reported, err = st.Reported.Merge(patch, g.opt.Now()); err != nil {
		return 0, err
	}
	pending := st.Pending
	if n := len(pending); n > 0 {
		joined, ok, err := twin.Join(pending[n-1], patch)
		if err != nil {
			return 0, err
		}
		if ok {
			pending, patch = pending[:n-1:n-1], joined
		}
	}
	st.Pending = append(pending[:len(pending):len(pending)], patch)
	if err := g.twins.Put(id, st); err != nil {
		return 0, err
	}
	g.reports.kick()
	return st.Reported.Version(), nil
}

// flushReported sends what is pending. One that the hub will never take does not
// hold up those behind it. The twin's lock is held.
func (g *Gateway) flushReported(ctx context.Context, id iot.Identity, p *peer) error {
	st, err := g.twins.Get(id)
	if err != nil {
		return err
	}
	for len(st.Pending) > 0 {
		_, err := p.session.PatchReported(ctx, st.Pending[0])
		if err != nil && !final(err) {
			return err
		}
		if err != nil {
			g.counts.ReportsRefused.Add(1)
			g.log.Error("the hub refuses what a device reported while it was away; it is dropped", "identity", id, "err", err)
		}
		st.Pending = st.Pending[1:]
		if err := g.twins.Put(id, st); err != nil {
			return err
		}
	}
	return nil
}

// reports sends, once the hub is there, what was reported while it was away, also
// of devices that have left since.
type reports struct {
	g    *Gateway
	wake chan struct{} // has a token when something is pending; capacity 1
}

// reportersAtOnce is how many twins are brought up to date at a time.
const reportersAtOnce = 8

func (r *reports) kick() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *reports) run(ctx context.Context) {
	for tries := 1; r.g.uplink.online.wait(ctx); {
		if left := r.flush(ctx); left > 0 {
			pause(ctx, backoff(tries))
			tries++
			continue
		}
		tries = 1
		select {
		case <-r.wake:
		case <-ctx.Done():
		}
	}
}

// flush sends what is pending, and returns of how many twins it could not.
func (r *reports) flush(ctx context.Context) (left int) {
	ids := r.g.twins.Pending()
	var group sync.WaitGroup
	var mu sync.Mutex
	slots := make(chan struct{}, reportersAtOnce)
	for _, id := range ids {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			if err := r.flushOne(ctx, id); err != nil {
				r.g.log.Debug("what was reported waits", "identity", id, "err", err)
				mu.Lock()
				left++
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return left
}

// flushTimeout bounds the time for one twin.
const flushTimeout = 30 * time.Second

func (r *reports) flushOne(ctx context.Context, id iot.Identity) error {
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	p, err := r.g.uplink.peers.get(ctx, id)
	if err != nil {
		if iot.KindOf(err) == iot.Unauthorized && r.g.scope.Lookup(ctx, id) {
			if _, known := r.g.scope.Registration(id); !known {
				return r.g.twins.Forget(id)
			}
		}
		return err
	}
	defer r.g.uplink.peers.put(p)
	defer r.g.twins.Lock(id)()
	return r.g.flushReported(ctx, id, p)
}
