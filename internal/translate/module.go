package translate

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"sluice/internal/leafwire"
	"sluice/internal/spool"
	"sluice/iot"
)

// keptQueue is the queue of leaves' messages: a lane for each leaf.
const keptQueue = "leaves"

// A Module is the identity translation module.
type Module struct {
	opt    Options
	id     iot.Identity
	queue  *spool.Queue
	ledger *ledger
	link   link
	ready  row // leaves to be served by a worker
	asking row // leaves that the cloud is to be asked for
	desk   desk
	herald herald
	bad    badLog
	counts counters

	fatal chan error // capacity 1

	mu       sync.Mutex
	leaves   map[string]*leaf
	speakers map[string]bool // translators that say what their leaves support
	closing  bool
}

// A leaf is what is known of a leaf, and what is being done for it. All but its id
// is guarded by Module.mu.
type leaf struct {
	id string
	Leaf

	lease  *spool.Lease // of its lane, if that has something
	busy   bool         // somebody reads the lane, or opens a session
	queued bool         // in a row
	timer  *time.Timer  // looks again

	conn    *conn     // its session, if it has one
	rest    time.Time // no session before
	faults  int       // since the last success
	doubts  int       // how often it was registered anew since then
	refused time.Time // the gateway refuses its session since; zero if it does not
	single  bool      // send one message at a time: one of a batch was refused
}

// New makes a module, and reads what is known of leaves. Nothing happens before
// Run.
func New(opt Options) (*Module, error) {
	if err := opt.fill(); err != nil {
		return nil, err
	}
	m := &Module{
		opt: opt, id: opt.Gateway.Identity(), queue: opt.Kept.Queue(keptQueue), ledger: newLedger(opt.State),
		fatal: make(chan error, 1), leaves: map[string]*leaf{}, speakers: map[string]bool{},
	}
	m.link.init()
	m.ready.init()
	m.asking.init()
	m.herald.init()
	m.desk.init()
	m.bad.log = opt.Log
	opt.Kept.SetLimits(opt.MaxBytes, opt.MaxLeafBytes)
	err := m.ledger.load(func(l Leaf) {
		m.leaves[l.ID] = &leaf{id: l.ID, Leaf: l}
		if l.Hello != nil && l.Module != "" {
			m.speakers[l.Module] = true
		}
	})
	if err != nil {
		return nil, fmt.Errorf("translate: state: %w", err)
	}
	// A leaf whose messages are kept, and of which nothing else was written before
	// the module ended, is known from its lane.
	for _, lane := range m.queue.Lanes() {
		m.leafOf(lane.Lane)
	}
	return m, nil
}

// Run runs the module until ctx ends, and then returns nil; or until the disk
// fails. It returns when everything has ended; the stores are the caller's to
// close.
func (m *Module) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	// The ledger outlives all who write to it.
	writing, written := context.WithCancel(context.Background())
	var ledger, work sync.WaitGroup
	ledger.Go(func() {
		if err := m.ledger.run(writing); err != nil {
			m.fail(fmt.Errorf("translate: state: %w", err))
		}
	})
	work.Go(func() { m.stayConnected(ctx) })
	work.Go(func() { m.dispatch(ctx) })
	work.Go(func() { m.ask(ctx) })
	work.Go(func() { m.tidy(ctx) })
	work.Go(func() { m.herald.run(ctx, m) })
	for range m.opt.Workers {
		work.Go(func() { m.work(ctx) })
	}
	m.begin()
	var err error
	select {
	case <-ctx.Done():
	case err = <-m.fatal:
	}
	stop()
	m.end()
	work.Wait()
	m.closeSessions()
	written()
	ledger.Wait()
	return err
}

// begin looks at every leaf that is known.
func (m *Module) begin() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.leaves {
		m.consider(l)
	}
}

// end stops what would begin something new.
func (m *Module) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closing = true
	for _, l := range m.leaves {
		if l.timer != nil {
			l.timer.Stop()
		}
	}
}

func (m *Module) closeSessions() {
	m.mu.Lock()
	var open []*conn
	for _, l := range m.leaves {
		if l.conn != nil {
			open = append(open, l.conn)
		}
		if l.lease != nil {
			defer l.lease.Release(0)
			l.lease = nil
		}
	}
	m.mu.Unlock()
	for _, c := range open {
		c.close()
	}
	m.desk.close()
}

// fail ends the module for good.
func (m *Module) fail(err error) {
	select {
	case m.fatal <- err:
	default:
	}
}

// leafOf returns the leaf of that id, making it if need be. [mu held, or alone]
func (m *Module) leafOf(id string) *leaf {
	l := m.leaves[id]
	if l == nil {
		l = &leaf{id: id, Leaf: Leaf{ID: id, State: Fresh, Since: time.Now()}}
		m.leaves[id] = l
	}
	return l
}

// dispatch gives each lane that has something to its leaf.
func (m *Module) dispatch(ctx context.Context) {
	for {
		lease, err := m.queue.Acquire(ctx)
		if err != nil {
			if ctx.Err() == nil {
				m.fail(fmt.Errorf("translate: kept messages: %w", err))
			}
			return
		}
		m.mu.Lock()
		l := m.leafOf(lease.Lane())
		l.lease = lease
		m.consider(l)
		m.mu.Unlock()
	}
}

// consider has done for a leaf what is to be done now, or looks again when it is
// due. [mu held]
func (m *Module) consider(l *leaf) {
	if m.closing || l.busy || l.queued {
		return // whoever is at it considers again
	}
	now := time.Now()
	l.Leaf = l.clamp(&m.opt.Patience, now)
	switch {
	case l.asks():
		m.queueAt(l, &m.asking, l.Due, now)
	case l.open():
		if m.wantsService(l) {
			m.queueAt(l, &m.ready, l.rest, now)
		}
	case l.State == Refused && l.lease != nil && now.Before(l.Due):
		m.lookAgain(l, l.Due.Sub(now))
	case l.conn != nil || l.lease != nil:
		m.queueAt(l, &m.ready, l.rest, now)
	}
}

// wantsService reports whether a registered leaf needs a worker. [mu held]
func (m *Module) wantsService(l *leaf) bool {
	wants := m.features(l)
	if l.conn == nil {
		return l.lease != nil || wants != leafwire.Hello{}
	}
	return l.lease != nil || l.conn.has != wants
}

// features is what the leaf's translator hands down to it. [mu held]
func (m *Module) features(l *leaf) leafwire.Hello {
	switch {
	case l.Hello != nil:
		return *l.Hello
	case m.speakers[l.Module]:
		return leafwire.Hello{Methods: true, Desired: true, Commands: true}
	}
	return leafwire.Hello{}
}

// queueAt puts a leaf into a row when it is due. [mu held]
func (m *Module) queueAt(l *leaf, r *row, due, now time.Time) {
	if wait := due.Sub(now); wait > 0 {
		m.lookAgain(l, wait)
		return
	}
	l.queued = true
	r.add(l)
}

// lookAgain considers a leaf after a time. [mu held]
func (m *Module) lookAgain(l *leaf, d time.Duration) {
	if l.timer != nil {
		l.timer.Stop()
	}
	l.timer = time.AfterFunc(d, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.consider(l)
	})
}

// change notes what a leaf has become; done is called when that is durable, nil if
// it may take a while. [mu held]
func (m *Module) change(l *leaf, next Leaf, done func()) {
	before := l.State
	l.Leaf = next
	m.ledger.put(change{leaf: next, done: done})
	if next.State == before {
		return
	}
	l.faults, l.rest, l.refused = 0, time.Time{}, time.Time{}
	m.announce(l)
}

// announce says in the log, and to the translator, what a leaf has become. [mu held]
func (m *Module) announce(l *leaf) {
	log := m.opt.Log.With("leaf", l.id)
	switch l.State {
	case Registered:
		log.Info("a leaf is registered", "reason", l.Reason)
	case Refused:
		log.Warn("a leaf is refused; its messages wait", "reason", l.Reason, "again", l.Due.Format(time.RFC3339))
	case Disabled, Deleted:
		log.Info("a leaf is "+string(l.State), "reason", l.Reason)
	}
	m.tellState(l)
}

// states are those that translators are told.
var states = map[State]leafwire.State{
	Registered: leafwire.Registered, Refused: leafwire.Refused, Disabled: leafwire.Disabled, Deleted: leafwire.Deleted,
}

// tellState tells the leaf's translator of its state. It is told again after each
// hello, so what is lost here is not missed for long. [mu held]
func (m *Module) tellState(l *leaf) {
	if s, ok := states[l.State]; ok && l.Module != "" {
		m.herald.tell(leafwire.Route{Leaf: l.id, Module: l.Module}.State(s, l.Reason), nil)
	}
}

// errEnding is why something ends without having failed.
var errEnding = errors.New("the module ends")

// commit changes a leaf and waits until that is durable.
func (m *Module) commit(ctx context.Context, l *leaf, next func(Leaf) Leaf) error {
	durable := make(chan struct{})
	m.mu.Lock()
	m.change(l, next(l.Leaf), func() { close(durable) })
	m.mu.Unlock()
	select {
	case <-durable:
		return nil
	case <-ctx.Done():
		return errEnding
	}
}
