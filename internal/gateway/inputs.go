package gateway

import (
	"context"
	"strconv"
	"sync"

	"sluice/iot"
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
	f := &inputFlow{s: s, peer: id.String(), deliver: deliver, out: map[string]*held{}, more: make(chan struct{}, 1)}
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
	out    map[string]*held // delivered and not settled, by lock token
	closed bool
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

// take waits for credit, and uses some, max at most. It returns 0 when ctx has ended.
func (f *inputFlow) take(ctx context.Context, max int) int {
	for {
		f.mu.Lock()
		n := min(f.credit, max)
		f.credit -= n
		left := f.credit > 0
		f.mu.Unlock()
		if n > 0 {
			if left {
				f.signal() // others may wait
			}
			return n
		}
		select {
		case <-f.more:
		case <-ctx.Done():
			return 0
		}
	}
}

// lock has the module hold records, under the lock tokens returned, unless it has left.
func (f *inputFlow) lock(some []*held) (tokens []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	tokens = make([]string, len(some))
	for i, h := range some {
		f.serial++
		tokens[i] = strconv.FormatUint(f.serial, 36)
		f.out[tokens[i]] = h
	}
	return tokens
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
		h.feeder.lease.Ack(*h.rec)
		counts.DeliveredInputs.Add(1)
		f.s.g.completed(h)
	case iot.Reject:
		h.feeder.lease.Dead(*h.rec, "module rejected it")
		counts.Dead.Add(1)
	default:
		h.feeder.giveBack(h)
	}
	return true
}
