package provision

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"time"

	"sluice/iot"
)

// Pauses before something is tried again: doubled each time, and made up to a
// quarter longer by chance.
const (
	firstPause = time.Second
	maxPause   = time.Minute
)

// pauseAfter is the pause after so many failures in a row, at least least.
func pauseAfter(failures int, least time.Duration) time.Duration {
	d := min(maxPause, firstPause<<min(max(0, failures-1), 10))
	d = max(d, least)
	return d + rand.N(d/4)
}

// A task is a request that is open.
type task struct {
	number   uint64 // in the journal
	request  Request
	taken    time.Time // when it was first seen here
	desk     *desk
	running  bool
	failures int
	due      time.Time // while it rests
	then     *task     // comes for the same leaf, after this one
}

// A gate is shut for a while after a failure, and then lets one through to try.
type gate struct {
	failures int
	until    time.Time
	trying   int
}

// lets reports whether one more may go through now.
func (g *gate) lets(now time.Time) bool {
	return g.failures == 0 || g.trying == 0 && !now.Before(g.until)
}

func (g *gate) failed(now time.Time, least time.Duration) {
	// Those that were under way together have failed together.
	if now.Before(g.until) {
		return
	}
	g.failures++
	g.until = now.Add(pauseAfter(g.failures, least))
}

func (g *gate) passed() { g.failures, g.until = 0, time.Time{} }

// A desk is where the requests of one module are: in order of arrival, but those
// that failed rest.
type desk struct {
	gate   // shut while the module does not answer
	sender iot.Identity
	ready  []*task
	rests  resting
	open   map[string]*task // by leaf
	free   time.Time        // when the next may begin, by the rate
	cache  cachedModule
}

// A queue holds what is to be done, and decides what is done next. It is not safe for
// use by several goroutines.
//
// The desks take turns, so that a gateway with thousands of leaves does not keep the
// others waiting.
type queue struct {
	hub      gate // shut while the hub does not answer, or is too busy
	every    time.Duration
	desks    []*desk
	bySender map[iot.Identity]*desk
	at       int // whose turn is next
	count    int // tasks
}

// burst is how far a module may be ahead of its rate.
const burst = time.Second

// newQueue lets each module have rate requests a second done in the long run.
func newQueue(rate float64) *queue {
	return &queue{every: time.Duration(float64(time.Second) / rate), bySender: map[iot.Identity]*desk{}}
}

// desk returns the desk of a module, and opens one if need be.
func (q *queue) desk(sender iot.Identity, now time.Time) *desk {
	if d := q.bySender[sender]; d != nil {
		return d
	}
	// A desk with nothing on it stays as long as it is ahead of its rate.
	q.desks = slices.DeleteFunc(q.desks, func(d *desk) bool {
		idle := len(d.open) == 0 && !d.free.After(now)
		if idle {
			delete(q.bySender, d.sender)
		}
		return idle
	})
	d := &desk{sender: sender, open: map[string]*task{}}
	q.desks = append(q.desks, d)
	q.bySender[sender] = d
	return d
}

// add takes a request over. It returns the number of the one that needs not be done,
// if there is one: of two for the same leaf, of which none has begun, that is the
// earlier.
func (q *queue) add(number uint64, r Request, now time.Time) (superfluous uint64, found bool) {
	d := q.desk(r.Sender, now)
	d.passed() // whoever asks is there
	t := &task{number: number, request: r, taken: now, desk: d}
	old := d.open[r.Leaf]
	switch {
	case old == nil:
		d.open[r.Leaf] = t
		d.ready = append(d.ready, t)
	case old.running && old.then == nil:
		old.then = t
	case old.running:
		return old.then.replace(t), true
	default:
		if i := slices.Index(d.rests, old); i >= 0 {
			heap.Remove(&d.rests, i)
			d.ready = append(d.ready, old)
		}
		return old.replace(t), true
	}
	q.count++
	return 0, false
}

// replace makes t the later of itself and by, and returns the number of the other.
func (t *task) replace(by *task) uint64 {
	t.failures = 0
	if by.request.At.Before(t.request.At) {
		return by.number // it was overtaken on its way
	}
	superfluous := t.number
	t.number, t.request, t.taken = by.number, by.request, by.taken
	return superfluous
}

// next returns a task to do now, or when to ask again; the zero time if nothing is
// open but what is being done.
func (q *queue) next(now time.Time) (*task, time.Time) {
	var soonest time.Time
	sooner := func(t time.Time) {
		if soonest.IsZero() || t.Before(soonest) {
			soonest = t
		}
	}
	for range q.desks {
		q.at = (q.at + 1) % len(q.desks)
		d := q.desks[q.at]
		d.wake(now)
		switch {
		case len(d.ready) == 0:
			if len(d.rests) > 0 {
				sooner(later(d.rests[0].due, later(d.until, q.hub.until)))
			}
		case q.hub.trying > 0 && q.hub.failures > 0 || d.trying > 0 && d.failures > 0:
			// What is tried will tell.
		case !q.hub.lets(now):
			sooner(q.hub.until)
		case !d.lets(now):
			sooner(d.until)
		case d.free.Add(-burst).After(now):
			sooner(d.free.Add(-burst))
		default:
			return q.begin(d, now), time.Time{}
		}
	}
	return nil, soonest
}

// begin takes the first task that is ready.
func (q *queue) begin(d *desk, now time.Time) *task {
	t := d.ready[0]
	d.ready = d.ready[1:]
	t.running = true
	d.free = later(d.free, now).Add(q.every)
	d.trying++
	q.hub.trying++
	return t
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// wake makes ready what has rested enough.
func (d *desk) wake(now time.Time) {
	for len(d.rests) > 0 && !now.Before(d.rests[0].due) {
		d.ready = append(d.ready, heap.Pop(&d.rests).(*task))
	}
}

// A result is what became of a task that was begun.
type result uint8

const (
	answered  result = iota // the module knows what became of it
	ended                   // there is nobody to tell
	hubFailed               // the hub is away or busy
	deskMute                // the module does not answer
	failed                  // in another way; it is tried again
)

// finish notes what became of a task. It reports whether the task is at its end;
// else it will be tried again, unless a later request has taken its place, whose
// turn it is then.
func (q *queue) finish(t *task, r result, now time.Time, least time.Duration) (end bool) {
	d := t.desk
	t.running = false
	d.trying--
	q.hub.trying--
	q.judge(d, r, now, least)
	end = r == answered || r == ended || t.then != nil
	switch {
	case t.then != nil:
		d.open[t.request.Leaf] = t.then
		d.ready = append(d.ready, t.then)
		q.count--
	case end:
		delete(d.open, t.request.Leaf)
		q.count--
	default:
		t.failures++
		t.due = now.Add(pauseAfter(t.failures, least))
		heap.Push(&d.rests, t)
	}
	return end
}

// judge opens and shuts gates.
func (q *queue) judge(d *desk, r result, now time.Time, least time.Duration) {
	switch r {
	case answered:
		q.hub.passed()
		d.passed()
	case hubFailed:
		q.hub.failed(now, least)
	case deskMute:
		q.hub.passed()
		d.failed(now, least)
	case ended, failed:
		q.hub.passed()
	}
}

// resting is a heap of tasks by the time they are due.
type resting []*task

func (h resting) Len() int           { return len(h) }
func (h resting) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h resting) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *resting) Push(t any)        { *h = append(*h, t.(*task)) }
func (h *resting) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return t
}
