// Package inbox keeps what a hub has delivered until the receiver grants it, for
// transports whose own flow control cannot take back what it gave.
package inbox

import (
	"sync"

	"sluice/iot"
)

// An Inbox hands deliveries over in the order they came, as many as are granted.
// How many may wait is for its user to bound. Its methods may be called from any
// goroutine, and from within the function that takes deliveries.
type Inbox struct {
	deliver func(iot.Delivery)

	mu      sync.Mutex
	granted int
	waiting []iot.Delivery
	serving bool // somebody hands over
	closed  bool
}

// New returns an empty inbox that hands over to deliver, one at a time.
func New(deliver func(iot.Delivery)) *Inbox { return &Inbox{deliver: deliver} }

// Put adds a delivery, unless the inbox is closed, and reports whether it did.
func (b *Inbox) Put(d iot.Delivery) bool {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return false
	}
	b.waiting = append(b.waiting, d)
	b.mu.Unlock()
	b.serve()
	return true
}

// Grant allows n more deliveries.
func (b *Inbox) Grant(n int) {
	b.mu.Lock()
	b.granted += n
	b.mu.Unlock()
	b.serve()
}

// Revoke takes back what was granted and not used, and returns how much that was.
func (b *Inbox) Revoke() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.granted
	b.granted = 0
	return n
}

// Wanted is how many deliveries are granted beyond those that wait.
func (b *Inbox) Wanted() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.granted - len(b.waiting)
}

// Waiting is how many deliveries wait.
func (b *Inbox) Waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.waiting)
}

// Close drops what waits. Nothing is handed over any more, except what is being
// handed over just now.
func (b *Inbox) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed, b.granted, b.waiting = true, 0, nil
}

// serve hands over what may be. One caller does it for all.
func (b *Inbox) serve() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.serving {
		return
	}
	b.serving = true
	for b.granted > 0 && len(b.waiting) > 0 {
		d := b.waiting[0]
		b.waiting[0] = iot.Delivery{}
		b.waiting = b.waiting[1:]
		b.granted--
		b.mu.Unlock()
		b.deliver(d)
		b.mu.Lock()
	}
	b.serving = false
}
