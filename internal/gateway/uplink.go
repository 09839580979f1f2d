package gateway

import (
	"context"
	"errors"
	"sync"
	"time"

	"sluice/internal/spool"
	"sluice/iot"
)

// How much of a lane is read at once, and how many such batches are on their
// way before an acknowledgement is waited for.
const (
	batchMessages = 32
	batchBytes    = 256 << 10
	batchesAhead  = 4
)

// uplink drains the upstream queue: one lane per sending identity, each in
// order, many in parallel. It has one goroutine for its own connection, which
// says whether the hub is there, and one for each lane served at a time.
type uplink struct {
	g      *Gateway
	queue  *spool.Queue
	online gate
	lost   time.Time // when the hub was lost; zero while it is there, or never was. keepOnline's alone
	peers  peers
	faults faults
}

func newUplink(g *Gateway) *uplink {
	u := &uplink{g: g, queue: g.opt.Spool.Queue(UpstreamQueue)}
	u.peers.g = g
	return u
}

func (u *uplink) run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { u.keepOnline(ctx) })
	wg.Go(func() { u.peers.closeIdle(ctx) })
	for range u.g.opt.Lanes {
		wg.Go(func() { u.serve(ctx) })
	}
	wg.Wait()
}

// serve drains one lane after another while the hub is there.
func (u *uplink) serve(ctx context.Context) {
	for u.online.wait(ctx) {
		lease, err := u.queue.Acquire(ctx)
		if err != nil {
			if ctx.Err() == nil {
				u.g.log.Error("uplink stopped", "err", err)
			}
			return
		}
		if !u.online.isOpen() {
			lease.Release(0) // it was acquired by a worker that had waited since better times
			continue
		}
		lease.Release(u.drain(ctx, lease))
	}
}

// drain sends what a lane has until it is empty, another lane waits, or the hub
// refuses. It returns how long the lane shall rest.
func (u *uplink) drain(ctx context.Context, lease *spool.Lease) time.Duration {
	id, err := iot.ParseIdentity(lease.Lane())
	if err != nil {
		u.bury(lease, "sender has no valid identity")
		return 0
	}
	peer, err := u.peers.get(ctx, id)
	if err != nil {
		return u.refused(ctx, lease, id, err)
	}
	defer u.peers.put(peer)
	d := u.drainOf(lease, peer)
	if err := d.run(ctx); err != nil {
		u.peers.drop(peer)
		return u.failed(lease, id, err, d.acked, d.head)
	}
	u.faults.clear(id)
	return 0
}

// refused decides about a lane whose identity the hub did not let in.
func (u *uplink) refused(ctx context.Context, lease *spool.Lease, id iot.Identity, err error) time.Duration {
	if ctx.Err() != nil || !u.online.isOpen() || id == u.g.own.id {
		return offlineRest
	}
	// Only the hub's own word that the identity is gone condemns its messages.
	if iot.KindOf(err) == iot.Unauthorized && u.g.scope.Lookup(ctx, id) {
		if _, known := u.g.scope.Registration(id); !known {
			u.bury(lease, "sender is not registered any more")
			return 0
		}
	}
	rest := u.faults.connect(id)
	u.retried(id)
	u.g.log.Warn("the hub refuses an identity; its messages wait", "identity", id, "retry", rest, "err", err)
	return rest
}

// failed decides about a lane whose messages were not all acknowledged.
func (u *uplink) failed(lease *spool.Lease, id iot.Identity, err error, progress bool, head spool.Record) time.Duration {
	if errors.Is(err, errShutdown) || !u.online.isOpen() {
		return offlineRest
	}
	if progress {
		u.faults.clear(id)
	}
	rest, strikes := u.faults.send(id, head.Seq(), final(err))
	u.retried(id)
	u.g.log.Warn("messages not delivered; they are sent again", "identity", id, "retry", rest, "err", err)
	if strikes >= maxStrikes {
		u.poisoned(lease, id, head)
	}
	return rest
}

// poisoned gives up a message at which the hub, otherwise well, ends the
// connection time and again: those behind it must not wait for ever.
func (u *uplink) poisoned(lease *spool.Lease, id iot.Identity, head spool.Record) {
	u.g.log.Error("a message cannot be delivered and is now a dead letter", "identity", id, "tries", maxStrikes)
	lease.Dead(head, "hub refuses it")
	u.g.counts.Dead.Add(1)
	u.faults.clear(id)
}

// bury makes dead letters of everything that a lane holds.
func (u *uplink) bury(lease *spool.Lease, reason string) {
	buried := 0
	for {
		recs, err := lease.Read(batchMessages, batchBytes)
		if err != nil || len(recs) == 0 {
			break
		}
		for _, r := range recs {
			lease.Dead(r, reason)
		}
		buried += len(recs)
	}
	u.g.counts.Dead.Add(uint64(buried))
	u.g.log.Error("messages cannot be delivered and are now dead letters", "lane", lease.Lane(), "messages", buried, "reason", reason)
}
