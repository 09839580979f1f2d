package mqttbridge

import (
	"errors"
	"sync"

	"sluice/mqtt"
)

// publication is what a device of the field published.
type publication struct {
	topic    string
	payload  []byte
	clientID string // of a client of the bridge's own broker
	username string
	own      string // the one leaf that it may be of; "" for all
	qos      mqtt.QoS
	// ack settles it, once: nil after the gateway has it, or when nobody ever
	// will. It does not block.
	ack func(error)
}

func (p *publication) size() int { return len(p.topic) + len(p.payload) }

var errStopped = errors.New("mqttbridge: the bridge stops")

// inbox holds what was published until the gateway takes it. Each source has its
// own queue and they are served in turn, so that one that sends much does not hold
// up the others. Whoever fills it bounds it: a source has no more than its
// connection may have unacknowledged.
type inbox struct {
	wake chan struct{} // of capacity 1

	mu     sync.Mutex
	ready  []*source // those that have something, in turn
	greet  map[string]struct{}
	count  int
	bytes  int
	closed bool
}

// source is one connection. Its fields are guarded by the inbox.
type source struct {
	waiting []*publication
	gone    bool
}

func newInbox() *inbox {
	return &inbox{wake: make(chan struct{}, 1), greet: make(map[string]struct{})}
}

// push takes publications of a source, in order.
func (in *inbox) push(s *source, list ...*publication) {
	in.mu.Lock()
	if in.closed || s.gone {
		in.mu.Unlock()
		for _, p := range list {
			p.ack(errStopped)
		}
		return
	}
	if len(s.waiting) == 0 && len(list) > 0 {
		in.ready = append(in.ready, s)
	}
	s.waiting = append(s.waiting, list...)
	for _, p := range list {
		in.count++
		in.bytes += p.size()
	}
	in.mu.Unlock()
	in.signal()
}

func (in *inbox) signal() {
	select {
	case in.wake <- struct{}{}:
	default:
	}
}

// greetings asks that leaves say anew what they can take.
func (in *inbox) greetings(leaves ...string) {
	in.mu.Lock()
	for _, id := range leaves {
		in.greet[id] = struct{}{}
	}
	in.mu.Unlock()
	in.signal()
}

// greeting is how many leaves are to be greeted.
func (in *inbox) greeting() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return len(in.greet)
}

// next takes a leaf to be greeted, or else a publication; neither if there is none.
func (in *inbox) next() (leaf string, p *publication) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for id := range in.greet {
		delete(in.greet, id)
		return id, nil
	}
	if len(in.ready) == 0 {
		return "", nil
	}
	s := in.ready[0]
	in.ready = in.ready[1:]
	p, s.waiting = s.waiting[0], s.waiting[1:]
	in.count--
	in.bytes -= p.size()
	if len(s.waiting) > 0 {
		in.ready = append(in.ready, s)
	} else {
		s.waiting = nil
	}
	return "", p
}

// drop forgets what a source has waiting: its connection is gone, and it will send
// that again.
func (in *inbox) drop(s *source) {
	in.mu.Lock()
	defer in.mu.Unlock()
	s.gone = true
	in.count -= len(s.waiting)
	for _, p := range s.waiting {
		in.bytes -= p.size()
	}
	s.waiting = nil
	for i, r := range in.ready {
		if r == s {
			in.ready = append(in.ready[:i], in.ready[i+1:]...)
			return
		}
	}
}

// holds reports whether this many publications, or bytes, wait.
func (in *inbox) holds(count, bytes int) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.count >= count || in.bytes >= bytes
}

// close refuses what is there and what comes.
func (in *inbox) close() {
	in.mu.Lock()
	in.closed = true
	var rest []*publication
	for _, s := range in.ready {
		rest = append(rest, s.waiting...)
		s.waiting = nil
	}
	in.ready, in.count, in.bytes = nil, 0, 0
	in.mu.Unlock()
	for _, p := range rest {
		p.ack(errStopped)
	}
}
