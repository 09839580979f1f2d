package gateway

import (
	"context"
	"errors"
	"time"

	"sluice/internal/spool"
	"sluice/iot"
)

// turn is how many messages a lane may send while others wait. Without one, lanes
// that outnumber the workers would give way to each other and send nothing.
const turn = 8 * batchMessages

// errShutdown ends a drain because the gateway stops.
var errShutdown = errors.New("gateway stops")

// draining is one lease being served over one session.
type draining struct {
	u       *uplink
	lease   *spool.Lease
	peer    *peer
	meter   *originMeter // of what was delivered last
	results chan sent    // one per batch on its way
	ahead   int          // batches on their way
	max     int          // messages in a batch
	read    int          // messages
	decoder iot.Decoder
	window  int // batches on their way before one must come back

	acked bool         // something was delivered
	head  spool.Record // first of those that were not
}

// sent is the fate of a batch.
type sent struct {
	recs    []spool.Record
	outputs []string // of each; nil for a device
	took    time.Duration
	err     error
}

// drainOf prepares to serve a lease. A lane in which some message is suspected
// of being one that the hub never takes goes one message at a time.
func (u *uplink) drainOf(lease *spool.Lease, p *peer) *draining {
	d := &draining{u: u, lease: lease, peer: p, max: batchMessages, window: batchesAhead}
	if u.faults.single(p.id) {
		d.max, d.window = 1, 1
	}
	d.results = make(chan sent, d.window)
	return d
}

// run sends until there is nothing more to send, another lane waits its turn,
// or something fails. When it returns nothing is on its way.
func (d *draining) run(ctx context.Context) error {
	err := d.pump(ctx)
	for d.ahead > 0 {
		if e := d.settle(<-d.results); err == nil {
			err = e
		}
	}
	return err
}

func (d *draining) pump(ctx context.Context) error {
	for {
		if ctx.Err() != nil {
			return errShutdown
		}
		if d.peer.stale(d.u.g.opt.Now()) || d.read >= turn && d.lease.Contended() {
			return nil
		}
		recs, err := d.lease.Read(d.max, batchBytes)
		d.read += len(recs)
		switch {
		case err != nil:
			return err
		case len(recs) > 0:
			d.send(recs)
		case d.ahead == 0:
			return nil
		}
		if err := d.wait(ctx, len(recs) == 0); err != nil {
			return err
		}
	}
}

// wait settles what has come back. It blocks when the pipe is full, or when
// idle says that there was nothing to send, until there is again.
func (d *draining) wait(ctx context.Context, idle bool) error {
	for d.ahead > 0 {
		if !idle && d.ahead < d.window {
			select {
			case r := <-d.results:
				if err := d.settle(r); err != nil {
					return err
				}
				continue
			default:
				return nil
			}
		}
		select {
		case r := <-d.results:
			if err := d.settle(r); err != nil {
				return err
			}
		case <-d.lease.More():
			idle = false
		case <-ctx.Done():
			return errShutdown
		}
		if idle {
			return nil
		}
	}
	return nil
}

// send decodes a batch and hands it to the hub.
func (d *draining) send(recs []spool.Record) {
	msgs, whole := make([]iot.Message, 0, len(recs)), recs[:0] // whose slice is the reader's
	for _, r := range recs {
		m, err := d.decoder.Decode(r.Data)
		if err != nil {
			d.lease.Dead(r, "unreadable")
			d.u.g.counts.Dead.Add(1)
			continue
		}
		msgs, whole = append(msgs, m), append(whole, r)
	}
	if len(msgs) == 0 {
		return
	}
	d.ahead++
	outputs, began := outputsOf(d.peer.id, msgs), time.Now()
	d.peer.session.Send(msgs, func(err error) {
		d.results <- sent{whole, outputs, time.Since(began), err}
	})
}

// settle acknowledges a batch that the hub has, or finds out which message of
// it the hub will never take.
func (d *draining) settle(r sent) error {
	d.ahead--
	switch {
	case r.err == nil:
		d.deliver(r)
		return nil
	case d.head.Seq() == 0:
		d.head = r.recs[0]
	}
	if len(r.recs) == 1 && final(r.err) {
		d.lease.Dead(r.recs[0], "hub refuses it")
		d.u.g.counts.Dead.Add(1)
		d.u.g.log.Error("the hub refuses a message, which is now a dead letter", "lane", d.lease.Lane(), "err", r.err)
		return nil
	}
	return r.err
}

func (d *draining) deliver(r sent) {
	d.lease.Ack(r.recs...)
	d.acked = true
	d.u.g.counts.Delivered.Add(uint64(len(r.recs)))
	d.delivered(r)
}

// final reports whether the same message would be refused again.
func final(err error) bool {
	switch iot.KindOf(err) {
	case iot.Invalid, iot.TooLarge:
		return true
	}
	return false
}
