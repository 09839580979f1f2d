package module

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"sluice/internal/twin"
	"sluice/iot"
)

// Times of the conversation with the hub.
const (
	retryFirst  = time.Second
	retryMax    = time.Minute
	callTimeout = 30 * time.Second
	// settle is how long changes are gathered before they are reported.
	settle = 500 * time.Millisecond
)

// followHub is $edgeAgent at the hub until ctx ends: it takes deployments, unless a
// file has them, and reports.
func (r *Runtime) followHub(ctx context.Context) {
	for pause := retryFirst; ctx.Err() == nil; pause = min(2*pause, retryMax) {
		began := time.Now()
		err := r.session(ctx)
		if ctx.Err() != nil {
			return
		}
		r.log.Debug("$edgeAgent is not connected", "err", err)
		if time.Since(began) > retryMax {
			pause = retryFirst
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// session is one session at the hub. It returns when that has ended.
func (r *Runtime) session(ctx context.Context) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	s, err := r.opt.Connect(ctx, iot.Client{Protocol: "gateway", Product: "sluice", Ended: func(err error) { end(err) }})
	if err != nil {
		return err
	}
	a := &agent{r: r, hub: s, changes: make(chan struct{}, 1), seen: -1}
	defer func() {
		a.last(context.WithoutCancel(ctx))
		_ = s.Close() // it has ended, or will
	}()
	sub, err := s.DesiredChanges(func(json.RawMessage) {
		select {
		case a.changes <- struct{}{}:
		default: // the whole is asked for anyway
		}
	})
	if err != nil {
		return err
	}
	defer sub.Close()
	var calls sync.WaitGroup
	defer calls.Wait()
	methods, err := s.Methods(func(call iot.MethodCall, reply func(iot.MethodResult)) {
		calls.Go(func() { reply(r.method(ctx, call)) })
	})
	if err != nil {
		return err
	}
	defer methods.Close()
	if err := a.run(ctx); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// An agent is $edgeAgent in one session.
type agent struct {
	r       *Runtime
	hub     iot.Session
	changes chan struct{}
	seen    int64         // version of the desired properties
	told    twin.Document // what the hub has as reported
}

// run takes deployments and reports until ctx ends.
func (a *agent) run(ctx context.Context) error {
	if err := a.fetch(ctx); err != nil {
		return err
	}
	for {
		news := a.r.next() // first: what changes while it reports is news
		if err := a.report(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-a.changes:
			if err := a.fetch(ctx); err != nil {
				return err
			}
		case <-news:
			select {
			case <-time.After(settle):
			case <-ctx.Done():
				return nil
			}
		}
	}
}

// fetch asks for the twin, and applies the deployment in it if that is another.
func (a *agent) fetch(ctx context.Context) error {
	within, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	t, err := a.hub.Twin(within)
	if err != nil {
		return err
	}
	if a.seen < 0 {
		a.told, err = twin.Received(twin.Reported, t.Reported, t.ReportedVersion, time.Now())
		if err != nil {
			return err
		}
	}
	if a.r.opt.File != "" || t.DesiredVersion == a.seen {
		a.seen = t.DesiredVersion
		return nil
	}
	a.seen = t.DesiredVersion
	a.r.deploy(t)
	return nil
}

// deploy applies a deployment of the hub, and keeps it if it is right.
func (r *Runtime) deploy(t iot.Twin) {
	if r.closing.Err() != nil {
		return
	}
	if _, err := ParseManifest(t.Desired); err == nil { // or what was kept is better
		r.keep(t.Desired)
	}
	r.take(r.closing, t.DesiredVersion, t.Desired)
}

// report tells the hub what has changed since it was told last.
func (a *agent) report(ctx context.Context) error {
	now, err := twin.Received(twin.Reported, a.r.reported(a.seen), 0, time.Now())
	if err != nil {
		return err
	}
	patch := a.told.Diff(now)
	if string(patch) == "{}" {
		return nil
	}
	within, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	switch _, err := a.hub.PatchReported(within, patch); {
	case err == nil:
	case iot.KindOf(err) == iot.Invalid || iot.KindOf(err) == iot.TooLarge:
		a.r.log.Warn("the hub does not take the report on modules", "err", err) // nor would it the next time
	default:
		return err
	}
	a.told = now
	return nil
}

// lastTimeout bounds the last report of a gateway that stops.
const lastTimeout = 500 * time.Millisecond

// last reports once more when the gateway stops.
func (a *agent) last(ctx context.Context) {
	if a.r.closing.Err() == nil || a.seen < 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lastTimeout)
	defer cancel()
	if err := a.report(ctx); err != nil {
		a.r.log.Debug("the end is not reported", "err", err)
	}
}
