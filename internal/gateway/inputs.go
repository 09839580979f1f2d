package gateway

import (
	"context"
	"strconv"
	"sync"
	"time"

	"sluice/internal/spool"
	"sluice/iot"
)

// How much of an input is read from the spool at once.
const (
	inputRecords = 64
	inputBytes   = 256 << 10
)

// inputs tells those who read modules' inputs that there may be new ones.
type inputs struct {
	mu   sync.Mutex
	news chan struct{} // closed at the next change; nil while nobody waits
}

func (i *inputs) next() <-chan struct{} {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.news == nil {
		i.news = make(chan struct{})
	}
	return i.news
}

func (i *inputs) changed() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.news != nil {
		close(i.news)
		i.news = nil
	}
}

// Inputs asks for what routes send to the session's module.
func (s *session) Inputs(deliver func(iot.Delivery)) (iot.Subscription, error) {
	id := s.Identity()
	if !id.IsModule() || id.Device != s.g.opt.Device {
		return nil, iot.Errorf(iot.NotFound, "inputs", id, "only modules of %s have inputs", s.g.opt.Device)
	}
	if err := s.Err(); err != nil {
		return nil, err
	}
	f := &inputFlow{s: s, peer: id.String(), deliver: deliver, out: map[string]held{}, more: make(chan struct{}, 1)}
	f.ctx, f.cancel = context.WithCancel(s.g.life)
	s.down.mu.Lock()
	before := s.down.inputs
	s.down.inputs = f
	s.down.mu.Unlock()
	if before != nil {
		before.Close()
	}
	s.g.spawn(f.run)
	if err := s.Err(); err != nil { // it left meanwhile
		f.Close()
		return nil, err
	}
	return f, nil
}

// inputFlow carries a module's inputs from the spool to the module. Each input is
// a queue, which the flow holds as long as the module listens.
type inputFlow struct {
	s       *session
	peer    string // the module's name in the meters
	deliver func(iot.Delivery)
	ctx     context.Context
	cancel  context.CancelFunc
	feeders sync.WaitGroup

	more chan struct{} // has a token when credit was granted; capacity 1

	mu     sync.Mutex
	credit int
	serial uint64
	out    map[string]held // delivered and not settled, by lock token
	closed bool
}

// held is a record that the module has.
type held struct {
	feeder *feeder
	rec    spool.Record
	count  int // times delivered before

	gauge *gauge    // of its origin
	since time.Time // delivered
}

var _ iot.Subscription = (*inputFlow)(nil)

// run has a feeder for each input, also for those that come later.
func (f *inputFlow) run() {
	g := f.s.g
	feeding := map[string]bool{}
	for f.ctx.Err() == nil {
		news := g.inputs.next()
		for _, name := range g.inputsOf(f.s.Identity().Module) {
			if !feeding[name] {
				feeding[name] = true
				e, _ := endpointOf(name) // it is one's
				feed := &feeder{f: f, queue: g.opt.Spool.Queue(name), input: e.Input, again: make(chan struct{}, 1)}
				f.feeders.Go(feed.run)
			}
		}
		select {
		case <-news:
		case <-f.ctx.Done():
		}
	}
	f.feeders.Wait()
}

// Grant allows n more deliveries, of all inputs together.
func (f *inputFlow) Grant(n int) {
	f.mu.Lock()
	f.credit += n
	f.mu.Unlock()
	f.signal()
}

func (f *inputFlow) signal() {
	select {
	case f.more <- struct{}{}:
	default:
	}
}

// Revoke withdraws what was granted and not used.
func (f *inputFlow) Revoke() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.credit
	f.credit = 0
	return n
}

// Close ends the interest. What was not settled comes again to the next session.
func (f *inputFlow) Close() {
	f.mu.Lock()
	f.closed, f.credit = true, 0
	clear(f.out)
	f.mu.Unlock()
	f.s.down.mu.Lock()
	if f.s.down.inputs == f {
		f.s.down.inputs = nil
	}
	f.s.down.mu.Unlock()
	f.cancel()
}

// take waits for credit, and uses one.
func (f *inputFlow) take(ctx context.Context) bool {
	for {
		f.mu.Lock()
		ok, left := f.credit > 0 && !f.closed, f.credit > 1
		if ok {
			f.credit--
		}
		f.mu.Unlock()
		if ok {
			if left {
				f.signal() // others may wait
			}
			return true
		}
		select {
		case <-f.more:
		case <-ctx.Done():
			return false
		}
	}
}

// hand gives a record to the module.
func (f *inputFlow) hand(h held) {
	var m iot.Message
	if err := m.UnmarshalBinary(h.rec.Data); err != nil {
		h.feeder.lease.Dead(h.rec, "unreadable")
		f.s.g.counts.Dead.Add(1)
		f.Grant(1)
		return
	}
	m.System.Set(iot.InputName, h.feeder.input)
	tellHops(&m)
	h.gauge, h.since = h.feeder.gauge(origin{m.Sender(), m.System.Get(iot.OutputName), h.rec.Priority}), time.Now()
	f.mu.Lock()
	closed := f.closed
	f.serial++
	token := strconv.FormatUint(f.serial, 36)
	if !closed {
		f.out[token] = h
	}
	f.mu.Unlock()
	if !closed {
		f.deliver(iot.Delivery{Message: m, LockToken: token, Count: h.count, Repeat: h.count > 0})
	}
}

// settle ends a delivery, and reports whether there was one.
func (f *inputFlow) settle(lockToken string, outcome iot.Outcome) bool {
	f.mu.Lock()
	h, ok := f.out[lockToken]
	delete(f.out, lockToken)
	f.mu.Unlock()
	if !ok {
		return false
	}
	switch counts := &f.s.g.counts; outcome {
	case iot.Complete:
		h.feeder.lease.Ack(h.rec)
		counts.DeliveredInputs.Add(1)
		f.s.g.completed(h)
	case iot.Reject:
		h.feeder.lease.Dead(h.rec, "module rejected it")
		counts.Dead.Add(1)
	default:
		h.feeder.giveBack(h)
	}
	return true
}

// feeder reads one input, in order, as long as the flow lasts.
type feeder struct {
	f     *inputFlow
	queue *spool.Queue
	input string // its name
	lease *spool.Lease

	gauges map[origin]*gauge // the feeder's goroutine's own

	mu    sync.Mutex
	back  []held        // abandoned, to be delivered again
	again chan struct{} // has a token when back grows; capacity 1
}

func (d *feeder) run() {
	lease, err := d.queue.Acquire(d.f.ctx)
	if err != nil {
		if d.f.ctx.Err() == nil {
			d.f.s.g.log.Error("an input cannot be read", "queue", d.queue.Name(), "err", err)
		}
		return
	}
	d.lease = lease
	defer lease.Release(0)
	for d.f.ctx.Err() == nil {
		if !d.feed() {
			select {
			case <-lease.More():
			case <-d.again:
			case <-d.f.ctx.Done():
			}
		}
	}
}

// feed delivers what there is, and reports whether there was anything.
func (d *feeder) feed() (some bool) {
	for _, h := range d.returned() {
		if !d.f.take(d.f.ctx) {
			return true
		}
		d.f.hand(h)
		some = true
	}
	recs, err := d.lease.Read(inputRecords, inputBytes)
	if err != nil {
		d.f.s.g.log.Error("an input cannot be read", "queue", d.queue.Name(), "err", err)
		<-d.f.ctx.Done() // trying again at once would not help
		return true
	}
	for _, r := range recs {
		if !d.f.take(d.f.ctx) {
			return true // the lease gives back what was not delivered
		}
		d.f.hand(held{feeder: d, rec: r})
	}
	return some || len(recs) > 0
}

func (d *feeder) giveBack(h held) {
	h.count++
	d.mu.Lock()
	d.back = append(d.back, h)
	d.mu.Unlock()
	select {
	case d.again <- struct{}{}:
	default:
	}
}

func (d *feeder) returned() []held {
	d.mu.Lock()
	defer d.mu.Unlock()
	back := d.back
	d.back = nil
	return back
}
