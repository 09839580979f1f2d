package gateway

import (
	"context"
	"math/rand/v2"
	"time"

	"sluice/iot"
)

// probeLongest is the longest pause between two attempts to reach the hub.
// Draining starts within it of the hub's return.
const probeLongest = 4 * time.Second

// keepOnline holds the gateway's own session at the hub, as its $edgeHub module.
// While it is there the uplink is up; when it is lost, the uplink is down until
// it is back.
func (u *uplink) keepOnline(ctx context.Context) {
	tries := 0
	for ctx.Err() == nil {
		began := time.Now()
		err := u.hold(ctx, func() {
			tries = 0
			u.cameOnline(ctx)
		})
		if ctx.Err() != nil {
			break
		}
		u.wentOffline(err, tries)
		if time.Since(began) > time.Minute {
			tries = 0
		}
		tries++
		pause(ctx, probeRest(tries))
	}
	u.online.set(false)
}

// hold connects, calls up, and returns when the session has ended or its token
// is to be replaced; then with nil.
func (u *uplink) hold(ctx context.Context, up func()) error {
	creds, expires, err := u.g.own.behalf(u.g.own.id, nil)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	session, err := u.g.opt.Parent.Connect(ctx, creds, iot.Client{
		Protocol: "gateway",
		Product:  "sluice",
		Ended:    func(reason error) { ended <- reason },
	})
	if err != nil {
		return err
	}
	shared := u.peers.adopt(session, expires)
	defer u.peers.drop(shared)
	up()
	own, done := context.WithCancel(ctx)
	defer done()
	u.g.spawn(func() { u.g.followConfig(own, session) })
	renew := time.NewTimer(expires.Sub(u.g.opt.Now()) - tokenSpare)
	defer renew.Stop()
	select {
	case reason := <-ended:
		return reason
	case <-shared.gone:
		return iot.Errorf(iot.Unavailable, "uplink", u.g.own.id, "the session failed in other hands")
	case <-renew.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (u *uplink) cameOnline(ctx context.Context) {
	if !u.online.set(true) {
		return
	}
	u.g.log.Info("uplink is up", "hub", u.g.opt.HubHost)
	u.found()
	if err := u.g.scope.Refresh(ctx); err != nil && ctx.Err() == nil {
		u.g.log.Warn("scope not refreshed", "err", err)
		return
	}
	n, _ := u.g.scope.Len()
	u.g.log.Info("scope refreshed", "identities", n)
}

// wentOffline says so once, and then at every tenth try why it is still so. An
// err of nil is a token replaced in time: nothing went offline.
func (u *uplink) wentOffline(err error, tries int) {
	if err == nil {
		return
	}
	if u.online.set(false) {
		u.noteLoss()
		u.g.log.Warn("uplink is down; messages are kept", "hub", u.g.opt.HubHost, "err", err)
		return
	}
	if tries%10 == 0 {
		u.g.log.Warn("the hub cannot be reached; messages are kept", "hub", u.g.opt.HubHost, "err", err)
	}
}

func probeRest(tries int) time.Duration {
	d := probeLongest
	if tries < 5 {
		d = min(probeLongest, 250*time.Millisecond<<(tries-1))
	}
	return d/2 + rand.N(d/2)
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
