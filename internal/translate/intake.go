package translate

import (
	"context"
	"errors"
	"sync"
	"time"

	"sluice/internal/leafwire"
	"sluice/internal/spool"
	"sluice/iot"
)

const (
	// window is how many messages of the input are read and not yet settled.
	window = 128
	// batchKept is how many messages of a leaf are stored at once.
	batchKept = 32
	// holdRetry is how soon a message that there was no room for is tried again,
	// and holdFor when it is given back to the gateway.
	holdRetry = 200 * time.Millisecond
	holdFor   = 10 * time.Second
)

// An intake takes what comes on the module's input in one session, and settles it
// when it is on disk. One goroutine does so: leaves' messages keep their order.
type intake struct {
	m       *Module
	session iot.Session
	sub     iot.Subscription
	closed  chan struct{}

	mu     sync.Mutex
	events []func()
	more   chan struct{} // capacity 1

	lines map[string]*lineup // the run goroutine's
}

// A lineup is a leaf's messages that are not on disk yet, in order.
type lineup struct {
	leaf    string
	wait    []taken
	storing int       // the first so many are being stored
	single  bool      // one at a time, since several at once found no room
	full    time.Time // there is no room since; zero if there is
}

// taken is a message that was understood.
type taken struct {
	saying
	data  []byte
	token string // lock token of the delivery
}

func newIntake(m *Module, session iot.Session) *intake {
	return &intake{m: m, session: session, closed: make(chan struct{}), more: make(chan struct{}, 1), lines: map[string]*lineup{}}
}

// open asks for the inputs.
func (in *intake) open() error {
	sub, err := in.session.Inputs(func(d iot.Delivery) { in.post(func() { in.take(d) }) })
	if err != nil {
		return err
	}
	in.post(func() {
		in.sub = sub
		sub.Grant(window)
	})
	return nil
}

// stop ends the intake. What is not settled comes again.
func (in *intake) stop() { close(in.closed) }

// post has the goroutine do something.
func (in *intake) post(event func()) {
	in.mu.Lock()
	in.events = append(in.events, event)
	in.mu.Unlock()
	raise(in.more)
}

func (in *intake) run(ctx context.Context) {
	retry := time.NewTicker(holdRetry)
	defer retry.Stop()
	for {
		select {
		case <-in.more:
		case <-retry.C:
			in.retry()
		case <-in.closed:
			return
		case <-ctx.Done():
			return
		}
		in.mu.Lock()
		events := in.events
		in.events = nil
		in.mu.Unlock()
		for _, event := range events {
			event()
		}
	}
}

// take takes one delivery.
func (in *intake) take(d iot.Delivery) {
	m := in.m
	s, err := m.understand(&d.Message)
	switch {
	case err != nil:
		in.refuse(d.Message.Sender(), d.LockToken, err)
	case s.pass:
		in.pass(&d.Message, d.LockToken)
	case s.kind == 0:
		m.desk.answer(s.route, s.response)
		in.settle(d.LockToken, iot.Complete)
	default:
		if err := m.admit(s); err != nil {
			in.refuse(d.Message.Sender(), d.LockToken, err)
			return
		}
		out := own(&d.Message)
		in.keep(taken{saying: s, data: encodeRecord(s.kind, &out), token: d.LockToken})
	}
}

// refuse drops a bad message: it would be as bad the next time.
func (in *intake) refuse(from iot.Identity, token string, err error) {
	in.m.counts.bad.Add(1)
	in.m.bad.note(from.String(), err)
	in.settle(token, iot.Complete)
}

// pass passes on a message that is of no leaf.
func (in *intake) pass(msg *iot.Message, token string) {
	out := own(msg)
	out.System.Set(iot.OutputName, leafwire.Output)
	in.session.Send([]iot.Message{out}, func(err error) {
		in.post(func() {
			switch {
			case err == nil:
				in.m.counts.passed.Add(1)
				in.settle(token, iot.Complete)
			case final(err):
				in.refuse(in.m.id, token, err)
			default:
				in.settle(token, iot.Abandon)
			}
		})
	})
}

// settle ends a delivery, and makes room for another.
func (in *intake) settle(token string, outcome iot.Outcome) {
	// It fails when the session has ended: then the delivery comes again.
	_ = in.session.Settle(context.Background(), token, outcome)
	in.sub.Grant(1)
}

// keep lines a message up to be stored.
func (in *intake) keep(t taken) {
	line := in.lines[t.route.Leaf]
	if line == nil {
		line = &lineup{leaf: t.route.Leaf}
		in.lines[t.route.Leaf] = line
	}
	line.wait = append(line.wait, t)
	if line.storing == 0 && line.full.IsZero() {
		in.store(line)
	}
}

// store stores what waits in a lineup, as much as goes at once.
func (in *intake) store(line *lineup) {
	n := min(len(line.wait), batchKept)
	if line.single {
		n = 1
	}
	var expires time.Time
	if keep := in.m.opt.KeepFor; keep > 0 {
		expires = time.Now().Add(keep)
	}
	entries := make([]spool.Entry, n)
	for i, t := range line.wait[:n] {
		entries[i] = spool.Entry{Queue: keptQueue, Lane: line.leaf, Expires: expires, Data: t.data}
	}
	line.storing = n
	in.m.opt.Kept.Append(entries, func(err error) { in.post(func() { in.stored(line, err) }) })
}

// stored is what became of what was to be stored.
func (in *intake) stored(line *lineup, err error) {
	n := line.storing
	line.storing = 0
	switch {
	case err == nil:
		in.m.counts.kept.Add(uint64(n))
		line.full = time.Time{}
		in.finish(line, n, iot.Complete)
	case errors.Is(err, spool.ErrFull) || errors.Is(err, spool.ErrNoSpace):
		in.full(line, n, err)
		return
	case errors.Is(err, spool.ErrInvalid):
		in.m.counts.bad.Add(uint64(n))
		in.finish(line, n, iot.Complete)
	default:
		in.m.fail(err)
		return
	}
	if len(line.wait) > 0 {
		in.store(line)
		return
	}
	delete(in.lines, line.leaf)
}

// finish settles the first n of a lineup, and has their leaf know who spoke.
func (in *intake) finish(line *lineup, n int, outcome iot.Outcome) {
	for _, t := range line.wait[:n] {
		if outcome == iot.Complete {
			in.m.spoke(t.saying)
		}
		in.settle(t.token, outcome)
	}
	line.wait = append(line.wait[:0:0], line.wait[n:]...)
}

// full decides about what there is no room for.
func (in *intake) full(line *lineup, n int, err error) {
	m := in.m
	switch {
	case n > 1:
		line.single = true
		in.store(line)
		return
	case m.expendable(line.leaf):
		// It may never go up, and must not hold up those that do.
		m.counts.dropped.Add(1)
		in.finish(line, n, iot.Complete)
		if len(line.wait) > 0 {
			in.store(line)
		} else {
			delete(in.lines, line.leaf)
		}
		return
	case m.opt.Full == DropOldest && m.dropOldest(line.leaf):
		in.store(line)
		return
	}
	if line.full.IsZero() {
		line.full = time.Now()
		m.bad.note(line.leaf, err)
	}
}

// retry tries again what there was no room for, and gives back what has waited for
// too long, all of a leaf's so that its order stays.
func (in *intake) retry() {
	for _, line := range in.lines {
		if line.full.IsZero() || line.storing > 0 {
			continue
		}
		if time.Since(line.full) < holdFor {
			in.store(line)
			continue
		}
		in.m.counts.held.Add(uint64(len(line.wait)))
		in.finish(line, len(line.wait), iot.Abandon)
		delete(in.lines, line.leaf)
	}
}
