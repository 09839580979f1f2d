package translator

import (
	"context"
	"slices"
	"sync"

	"sluice/iot"
)

// outbox holds the messages that the gateway has not acknowledged, in the order in
// which they were posted. Those before sent are on their way over the session of
// now.
type outbox struct {
	window, windowBytes int

	mu      sync.Mutex
	queue   []*outgoing
	sent    int
	count   int // of those that are counted
	bytes   int
	waiting []*poster
	closed  bool
	wake    chan struct{} // of capacity 1: there may be something to send
	idle    chan struct{} // of capacity 1: the queue became empty
}

type outgoing struct {
	message iot.Message
	size    int
	exempt  bool // not counted
	done    func(error)
	alone   bool // a batch with it was refused: it is sent in one of its own
}

// poster waits for room, in turn.
type poster struct {
	size  int
	admit chan struct{} // closed with the room taken
}

func newOutbox(window, bytes int) *outbox {
	return &outbox{window: window, windowBytes: bytes, wake: make(chan struct{}, 1), idle: make(chan struct{}, 1)}
}

func (o *outbox) roomFor(size int) bool {
	return o.count < o.window && (o.bytes+size <= o.windowBytes || o.count == 0)
}

// post queues a message, when there is room for it.
func (o *outbox) post(ctx context.Context, out *outgoing) error {
	o.mu.Lock()
	switch {
	case o.closed:
		o.mu.Unlock()
		return ErrClosed
	case out.exempt:
	case len(o.waiting) == 0 && o.roomFor(out.size):
		o.count++
		o.bytes += out.size
	default:
		return o.postLater(ctx, out)
	}
	o.push(out)
	o.mu.Unlock()
	return nil
}

// postLater waits for room. It is called with mu held, and returns without.
func (o *outbox) postLater(ctx context.Context, out *outgoing) error {
	p := &poster{out.size, make(chan struct{})}
	o.waiting = append(o.waiting, p)
	o.mu.Unlock()
	var err error
	select {
	case <-p.admit:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	i := slices.Index(o.waiting, p)
	switch {
	case err != nil && i >= 0:
		o.waiting = slices.Delete(o.waiting, i, i+1)
		o.admitNext()
		return err
	case o.closed:
		return ErrClosed
	case err != nil: // room was taken for it at the same moment
		o.release(out)
		return err
	}
	o.push(out)
	return nil
}

func (o *outbox) push(out *outgoing) {
	o.queue = append(o.queue, out)
	signal(o.wake)
}

func (o *outbox) release(out *outgoing) {
	if !out.exempt {
		o.count--
		o.bytes -= out.size
	}
	o.admitNext()
}

func (o *outbox) admitNext() {
	for len(o.waiting) > 0 && o.roomFor(o.waiting[0].size) {
		p := o.waiting[0]
		o.waiting = slices.Delete(o.waiting, 0, 1)
		o.count++
		o.bytes += p.size
		close(p.admit)
	}
}

// maxBatch is how many messages one batch has, so that one that is refused takes
// few with it.
const maxBatch = 64

// next takes what is to be sent now. It returns nil if there is nothing.
func (o *outbox) next() []*outgoing {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := 0
	for _, out := range o.queue[o.sent:] {
		if n == maxBatch || out.alone && n > 0 {
			break
		}
		n++
		if out.alone {
			break
		}
	}
	batch := slices.Clone(o.queue[o.sent : o.sent+n])
	o.sent += n
	return batch
}

// settle removes a batch that was sent, and tells its posters how it went. Those
// that were settled before, over another session, are left out.
func (o *outbox) settle(batch []*outgoing, err error) {
	o.mu.Lock()
	settled := o.remove(batch)
	for _, out := range settled {
		o.release(out)
	}
	if len(o.queue) == 0 {
		o.queue = nil
		signal(o.idle)
	}
	o.mu.Unlock()
	for _, out := range settled {
		out.done(err)
	}
}

// remove takes from the queue what is there of a batch, and returns that.
func (o *outbox) remove(batch []*outgoing) []*outgoing {
	n := len(batch)
	if n <= o.sent && o.queue[0] == batch[0] && o.queue[n-1] == batch[n-1] {
		// As nearly always: batches become safe in order.
		o.queue = slices.Delete(o.queue, 0, n)
		o.sent -= n
		return batch
	}
	var found []*outgoing
	for _, out := range batch {
		if i := slices.Index(o.queue, out); i >= 0 {
			o.queue = slices.Delete(o.queue, i, i+1)
			if i < o.sent {
				o.sent--
			}
			found = append(found, out)
		}
	}
	return found
}

// isolate has the messages of a refused batch sent one at a time, to find the one
// that was meant.
func (o *outbox) isolate(batch []*outgoing) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, out := range batch {
		out.alone = true
	}
}

// rewind makes everything that was sent unsent: the session is over.
func (o *outbox) rewind() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sent = 0
	if len(o.queue) > 0 {
		signal(o.wake)
	}
}

// close refuses what comes, and settles what is there with ErrClosed.
func (o *outbox) close() {
	o.mu.Lock()
	o.closed = true
	rest := o.queue
	o.queue, o.sent = nil, 0
	for _, p := range o.waiting {
		close(p.admit)
	}
	o.waiting = nil
	o.mu.Unlock()
	for _, out := range rest {
		out.done(ErrClosed)
	}
}

func (o *outbox) empty() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.queue) == 0
}

// signal leaves a sign in a channel of capacity 1.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
