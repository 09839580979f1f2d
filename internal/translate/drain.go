package translate

import (
	"context"
	"errors"
	"time"

	"sluice/internal/leafwire"
	"sluice/internal/spool"
	"sluice/iot"
)

// How much of a lane is sent at once, and how many such batches are on their way.
const (
	batchMessages = 32
	batchBytes    = 128 << 10
	batchesAhead  = 4
)

// errRetired ends a draining because the leaf is retired.
var errRetired = errors.New("the leaf is retired")

// draining is a lane being sent up over the leaf's session, in order. What is no
// telemetry waits until what came before it is safe.
type draining struct {
	m       *Module
	l       *leaf
	conn    *conn
	lease   *spool.Lease
	results chan sent
	ahead   int // batches on their way

	batch []iot.Message
	recs  []spool.Record // of batch
}

// sent is the fate of a batch.
type sent struct {
	recs []spool.Record
	err  error
}

// run sends until there is nothing more, or something fails. When it returns
// nothing is on its way.
func (d *draining) run(ctx context.Context) error {
	err := d.pump(ctx)
	return errors.Join(err, d.settleAll())
}

func (d *draining) pump(ctx context.Context) error {
	for ctx.Err() == nil {
		recs, err := d.lease.Read(d.max(), batchBytes)
		if err != nil {
			return err
		}
		if len(recs) == 0 {
			if d.ahead == 0 {
				return nil
			}
			if err := d.settleOne(); err != nil {
				return err
			}
			continue
		}
		for _, r := range recs {
			if err := d.take(ctx, r); err != nil {
				return err
			}
		}
		if err := d.flush(); err != nil {
			return err
		}
	}
	return errEnding
}

// max is how many messages go at once: one, if one of several was refused.
func (d *draining) max() int {
	d.m.mu.Lock()
	defer d.m.mu.Unlock()
	if d.l.single {
		return 1
	}
	return batchMessages
}

// take does what a record says.
func (d *draining) take(ctx context.Context, r spool.Record) error {
	k, msg, err := decodeRecord(r.Data)
	if err != nil {
		d.lease.Dead(r, "unreadable")
		return nil
	}
	if k == telemetry {
		d.batch, d.recs = append(d.batch, msg), append(d.recs, r)
		return nil
	}
	if err := errors.Join(d.flush(), d.settleAll()); err != nil {
		return err
	}
	switch k {
	case reported:
		err = d.report(ctx, r, &msg)
	case hello:
		err = d.greet(ctx, &msg)
	case gone:
		err = d.retire(ctx, r, &msg)
	}
	if err == nil || errors.Is(err, errRetired) {
		d.lease.Ack(r)
	}
	return err
}

// report patches the leaf's reported properties.
func (d *draining) report(ctx context.Context, r spool.Record, msg *iot.Message) error {
	ctx, cancel := context.WithTimeout(ctx, operationTimeout)
	defer cancel()
	_, err := d.conn.session.PatchReported(ctx, msg.Body)
	if err == nil {
		d.m.counts.delivered.Add(1)
		return nil
	}
	if final(err) {
		d.dead(r, err)
		return nil
	}
	return err
}

// operationTimeout bounds an exchange with the gateway.
const operationTimeout = 30 * time.Second

func (d *draining) dead(r spool.Record, err error) {
	d.lease.Dead(r, "refused")
	d.m.counts.dropped.Add(1)
	d.m.opt.Log.Error("the gateway refuses a message, which is now a dead letter", "leaf", d.l.id, "err", err)
}

// greet notes what the leaf supports. Who says so again may have forgotten what it
// was told: it is told again.
func (d *draining) greet(ctx context.Context, msg *iot.Message) error {
	h, err := leafwire.ParseHello(msg.Body)
	if err != nil {
		return nil // it was checked when it came
	}
	m := d.m
	if err := m.commit(ctx, d.l, func(l Leaf) Leaf { l.Hello = &h; return l }); err != nil {
		return err
	}
	d.conn.repeatDesired()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tellState(d.l)
	if !m.speakers[d.l.Module] {
		m.speakers[d.l.Module] = true
		for _, other := range m.leaves {
			if other.Module == d.l.Module && other != d.l {
				m.consider(other)
			}
		}
	}
	return nil
}

// retire begins the end of the leaf.
func (d *draining) retire(ctx context.Context, r spool.Record, msg *iot.Message) error {
	m := d.m
	m.mu.Lock()
	before := r.Seq() <= d.l.Retired
	m.mu.Unlock()
	op, err := leafwire.ParseGone(msg.Body)
	if before || err != nil {
		return nil
	}
	err = m.commit(ctx, d.l, func(l Leaf) Leaf {
		l = l.retire(op, time.Now())
		l.Retired = r.Seq()
		return l
	})
	if err != nil {
		return err
	}
	return errRetired
}

// flush sends the batch, when there is room for it on the way.
func (d *draining) flush() error {
	if len(d.batch) == 0 {
		return nil
	}
	for d.ahead >= batchesAhead {
		if err := d.settleOne(); err != nil {
			return err
		}
	}
	recs, batch := d.recs, d.batch
	d.recs, d.batch = nil, nil
	d.ahead++
	d.conn.session.Send(batch, func(err error) { d.results <- sent{recs, err} })
	return nil
}

func (d *draining) settleAll() (err error) {
	for d.ahead > 0 {
		if e := d.settleOne(); err == nil {
			err = e
		}
	}
	return err
}

// settleOne waits for the fate of a batch. A session gives each one back, at the
// latest when it ends.
func (d *draining) settleOne() error {
	r := <-d.results
	d.ahead--
	if r.err == nil {
		d.lease.Ack(r.recs...)
		d.conn.touch()
		d.m.counts.delivered.Add(uint64(len(r.recs)))
		d.oneByOne(false)
		return nil
	}
	if !final(r.err) {
		return r.err
	}
	if len(r.recs) == 1 {
		d.dead(r.recs[0], r.err)
		return nil
	}
	d.oneByOne(true)
	return r.err
}

// oneByOne says whether messages go one at a time. It ends when one was taken.
func (d *draining) oneByOne(single bool) {
	d.m.mu.Lock()
	defer d.m.mu.Unlock()
	d.l.single = single
}
