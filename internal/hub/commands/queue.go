package commands

import (
	"slices"
	"strconv"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"sluice/internal/hub/code"
	"sluice/iot"
)

// A command is one that is not at its end, in the index.
type command struct {
	header
	seq   uint64
	lock  *receiver // who has it now, or nil
	token string
	until time.Time // end of the lock, by the monotonic clock
}

// A queue is the commands of one identity, oldest first. The store's lock guards
// it.
type queue struct {
	store    *Store
	id       iot.Identity
	commands []*command
	arriving int // being written
	receiver *receiver
}

// add puts a command where its number belongs.
func (q *queue) add(c *command) {
	at, _ := slices.BinarySearchFunc(q.commands, c.seq, func(c *command, seq uint64) int {
		switch {
		case c.seq < seq:
			return -1
		case c.seq > seq:
			return 1
		}
		return 0
	})
	q.commands = slices.Insert(q.commands, at, c)
}

func (q *queue) remove(ended []*command) {
	gone := make(map[*command]bool, len(ended))
	for _, c := range ended {
		gone[c] = true
	}
	q.commands = slices.DeleteFunc(slices.Clone(q.commands), func(c *command) bool { return gone[c] })
}

// expire ends commands that are too old or were delivered too often, and takes
// back those whose lock has ended.
func (q *queue) expire() error {
	generation, known := q.store.opt.Generation(q.id)
	now := q.store.opt.Now()
	var old, often, strange []*command
	for _, c := range q.commands {
		if c.lock != nil && !time.Now().Before(c.until) {
			c.lock = nil
		}
		switch {
		case !known || c.generation != generation:
			strange = append(strange, c)
		case c.lock != nil:
		case !now.Before(c.expires):
			old = append(old, c)
		case c.count >= MaxDeliveries:
			often = append(often, c)
		}
	}
	for _, part := range []struct {
		ended []*command
		why   result
	}{{strange, forgotten}, {old, expired}, {often, tooOften}} {
		if err := q.store.end(q, part.ended, part.why); err != nil {
			return err
		}
	}
	return nil
}

// A delivery is on its way to a receiver.
type delivery struct {
	to *receiver
	c  *command
	iot.Delivery
}

// match locks commands for the receiver, as many as it has granted. It returns
// the receiver if that is to be served, which the caller does without the lock.
func (q *queue) match() *receiver {
	r := q.receiver
	if r == nil {
		return nil
	}
	now := q.store.opt.Now()
	for _, c := range q.commands {
		if r.credit == 0 {
			break
		}
		if c.lock != nil || !now.Before(c.expires) || c.count >= MaxDeliveries {
			continue
		}
		r.credit--
		c.lock, c.until = r, time.Now().Add(q.store.opt.Lock)
		c.token = strconv.FormatUint(c.seq, 36) + "-" + strconv.Itoa(c.count)
		r.pending = append(r.pending, delivery{to: r, c: c, Delivery: iot.Delivery{
			LockToken: c.token, Count: c.count, Repeat: c.count > 0,
		}})
		c.count++
	}
	if len(r.pending) == 0 || r.serving {
		return nil
	}
	r.serving = true
	return r
}

// serve hands a receiver what is pending, in order: one goroutine at a time does
// so for each receiver, and no lock is held over it.
func (s *Store) serve(r *receiver) {
	for r != nil {
		s.mu.Lock()
		list := r.pending
		r.pending = nil
		r.serving = len(list) > 0
		s.mu.Unlock()
		if len(list) == 0 {
			return
		}
		for i := range list {
			s.hand(&list[i])
		}
	}
}

func (s *Store) hand(d *delivery) {
	current, err := s.read(d)
	switch {
	case err != nil:
		s.opt.Log.Error("a command could not be read", "identity", d.to.id, "err", err)
		// Its lock ends by itself.
	case current:
		d.to.hand(d.Delivery)
	}
}

// read fetches the message, and stores that it was delivered once more. That is
// not synced: after a crash the count may be one too low. It reports whether the
// delivery is still the receiver's.
func (s *Store) read(d *delivery) (current bool, err error) {
	key := keyOf(d.to.id, d.c.seq)
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.c.lock != d.to || d.c.token != d.LockToken {
		return false, nil
	}
	value, closer, err := s.db.Get(key)
	if err != nil {
		return false, err
	}
	defer func() { _ = closer.Close() }() // only gives the value back
	h, body, err := parseRecord(value)
	if err == nil {
		err = d.Message.UnmarshalBinary(body)
	}
	if err != nil {
		return false, err
	}
	h.count = d.Count + 1
	again, err := appendRecord(nil, h, &d.Message)
	if err != nil {
		return false, err
	}
	s.stamp(d, h)
	return true, s.db.Set(key, again, pebble.NoSync)
}

// stamp adds what the hub says of a command.
func (s *Store) stamp(d *delivery, h header) {
	sys := &d.Message.System
	sys.Set(iot.EnqueuedTime, h.enqueued.UTC().Truncate(100).Format(time.RFC3339Nano))
	sys.Set(iot.SequenceNumber, strconv.FormatUint(d.c.seq, 10))
	sys.Set(iot.LockToken, d.LockToken)
	sys.Set(iot.DeliveryCount, strconv.Itoa(d.Count))
	if sys.Get(iot.To) == "" {
		to := "/devices/" + d.to.id.Device
		if d.to.id.IsModule() {
			to += "/modules/" + d.to.id.Module
		}
		sys.Set(iot.To, to+"/messages/devicebound")
	}
}

// A receiver is an identity's subscription to its commands.
type receiver struct {
	store *Store
	id    iot.Identity
	hand  func(iot.Delivery)

	// The store's lock guards these.
	credit  int
	pending []delivery // locked and not handed over
	serving bool       // somebody hands them over
	closed  bool
}

var _ iot.Subscription = (*receiver)(nil)

// Receive makes deliver the receiver of an identity's commands, in the place of
// one before. deliver is called as often as was granted; it must return soon.
func (s *Store) Receive(id iot.Identity, deliver func(iot.Delivery)) iot.Subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queue(id)
	if q.receiver != nil {
		q.receiver.abandon(q)
	}
	q.receiver = &receiver{store: s, id: id, hand: deliver}
	return q.receiver
}

// Grant allows n more deliveries.
func (r *receiver) Grant(n int) {
	s := r.store
	s.mu.Lock()
	var ready *receiver
	if !r.closed {
		r.credit += n
		ready = s.queue(r.id).match()
	}
	s.mu.Unlock()
	s.serve(ready)
}

// Revoke withdraws what was granted and not used.
func (r *receiver) Revoke() int {
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	n := r.credit
	r.credit = 0
	return n
}

// Close ends the subscription. What was not settled comes again.
func (r *receiver) Close() {
	s := r.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.closed {
		return
	}
	q := s.queue(r.id)
	if q.receiver == r {
		q.receiver = nil
	}
	r.abandon(q)
	s.tidy(q)
}

// abandon gives back what the receiver has. The store's lock is held.
func (r *receiver) abandon(q *queue) {
	r.closed, r.credit, r.pending = true, 0, nil
	for _, c := range q.commands {
		if c.lock == r {
			c.lock = nil
		}
	}
}

// Settle ends the delivery with this lock token. The error carries
// code.MessageLockLost if there is none: its lock ended, or it was settled before.
func (s *Store) Settle(id iot.Identity, token string, outcome iot.Outcome) error {
	s.mu.Lock()
	ready, err := s.settle(id, token, outcome)
	s.mu.Unlock()
	s.serve(ready)
	return err
}

func (s *Store) settle(id iot.Identity, token string, outcome iot.Outcome) (*receiver, error) {
	q := s.queues[id]
	var c *command
	if q != nil {
		if i := slices.IndexFunc(q.commands, func(c *command) bool { return c.lock != nil && c.token == token }); i >= 0 {
			c = q.commands[i]
		}
	}
	if c == nil {
		err := code.Errorf(code.MessageLockLost, "settle", id, "no delivery has this lock token: its lock ended, or it was settled")
		err.Kind = iot.NotFound
		return nil, err
	}
	switch outcome {
	case iot.Complete:
		return nil, s.end(q, []*command{c}, succeeded)
	case iot.Reject:
		return nil, s.end(q, []*command{c}, rejected)
	}
	c.lock = nil
	if c.count >= MaxDeliveries {
		return nil, s.end(q, []*command{c}, tooOften)
	}
	return q.match(), nil
}
