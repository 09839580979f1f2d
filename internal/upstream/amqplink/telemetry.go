package amqplink

import (
	"context"
	"errors"
	"sync"
	"time"

	"sluice/amqp10"
	"sluice/iot"
)

// telemetry is what a session sends: batches on their way, in order.
//
// Several are under way at a time. A batch that the hub refuses fails those that
// were sent behind it too, accepted or not, so that nothing counts as safe before
// what came before it.
type telemetry struct {
	s *session

	mu     sync.Mutex
	room   sync.Cond
	sender *amqp10.Sender // nil until attached
	queue  []part         // wait for credit
	flight []*batch       // not reported, in order of Send
	bytes  int            // of flight
	watch  *time.Timer    // runs while there is a flight
	over   error          // the session has ended
}

// A batch is what one call of Send took over.
type batch struct {
	done  func(error)
	parts int // not yet settled by the hub
	bytes int
	err   error
	since time.Time
}

// A part is one delivery.
type part struct {
	batch   *batch
	payload []byte
	format  uint32
}

const (
	// maxFlight is how many bytes may be under way before Send waits; one batch
	// more is taken.
	maxFlight = 1 << 20
	// maxDelivery is the size of a delivery of several messages: IoT Hub takes
	// 256 KiB, counted in its own way.
	maxDelivery = iot.MaxMessageSize - 4<<10
)

func (t *telemetry) init(s *session) {
	t.s = s
	t.room.L = &t.mu
}

// attach attaches the link.
func (t *telemetry) attach(ctx context.Context) error {
	s := t.s
	sender, err := s.lane.amqp.AttachSender(ctx, amqp10.SenderConfig{
		Name:       s.linkName("telemetry"),
		Source:     &amqp10.Source{Address: s.id.String()},
		Target:     &amqp10.Target{Address: nodeOf(s.id, "/messages/events")},
		Properties: s.link(""),
		OnCredit:   func(uint32, bool) { t.credit() },
		OnClose:    s.linkClosed,
	})
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over != nil {
		sender.CloseWith(nil)
		return t.over
	}
	t.sender = sender
	return nil
}

// Send puts the batch into as few deliveries as its size allows. It waits while
// too much is under way.
func (s *session) Send(msgs []iot.Message, done func(error)) { s.out.send(msgs, done) }

func (t *telemetry) send(msgs []iot.Message, done func(error)) {
	b := &batch{done: done, since: time.Now()}
	parts, err := encode(msgs, b, t.largest())
	if err != nil {
		done(failure("send", t.s.id, err))
		return
	}
	t.mu.Lock()
	for t.bytes >= maxFlight && t.over == nil {
		t.room.Wait()
	}
	if t.over != nil {
		err := t.over
		t.mu.Unlock()
		done(err)
		return
	}
	if len(parts) == 0 {
		t.mu.Unlock()
		done(nil)
		return
	}
	t.flight = append(t.flight, b)
	t.bytes += b.bytes
	t.queue = append(t.queue, parts...)
	t.observe()
	ready := t.flush()
	t.mu.Unlock()
	report(ready)
}

// largest is how large a delivery of several messages may be.
func (t *telemetry) largest() int {
	t.mu.Lock()
	sender := t.sender
	t.mu.Unlock()
	if most := sender.MaxMessageSize(); most != 0 && most < maxDelivery {
		return int(most)
	}
	return maxDelivery
}

// credit sends what waits.
func (t *telemetry) credit() {
	t.mu.Lock()
	ready := t.flush()
	t.mu.Unlock()
	report(ready)
}

// flush sends what there is credit for, and returns the batches that have failed
// by it. [mu held]
func (t *telemetry) flush() (ready []*batch) {
	for len(t.queue) > 0 && t.over == nil {
		p := t.queue[0]
		err := t.sender.Send(amqp10.Outgoing{
			Payload: p.payload,
			Format:  p.format,
			Done:    func(o amqp10.Outcome, err error) { t.outcome(p.batch, o, err) },
		})
		if errors.Is(err, amqp10.ErrNoCredit) {
			break
		}
		t.queue[0] = part{}
		t.queue = t.queue[1:]
		if err != nil {
			ready = append(ready, t.settle(p.batch, failure("send", t.s.id, err))...)
		}
	}
	if len(t.queue) == 0 {
		t.queue = nil
	}
	return ready
}

// outcome is what the hub made of a part.
func (t *telemetry) outcome(b *batch, o amqp10.Outcome, err error) {
	if err == nil {
		t.s.line.answered()
		err = outcomeError("send", t.s.id, o)
		t.s.line.heed(err)
	} else {
		err = failure("send", t.s.id, err)
	}
	t.mu.Lock()
	var ready []*batch
	if t.over == nil {
		ready = t.settle(b, err)
	}
	t.mu.Unlock()
	report(ready)
}

// settle notes the outcome of one part, and returns the batches whose outcome is
// known, and that of all before them. [mu held]
func (t *telemetry) settle(b *batch, err error) (ready []*batch) {
	b.parts--
	if b.err == nil {
		b.err = err
	}
	for len(t.flight) > 0 && t.flight[0].parts == 0 {
		first := t.flight[0]
		t.flight[0] = nil
		t.flight = t.flight[1:]
		t.bytes -= first.bytes
		ready = append(ready, first)
		if first.err != nil {
			t.failBehind(first.err)
		}
	}
	t.room.Broadcast()
	t.observe()
	return ready
}

// failBehind fails all that is under way: what waits for credit is not sent any
// more. [mu held]
func (t *telemetry) failBehind(cause error) {
	for _, b := range t.flight {
		if b.err == nil {
			b.err = &iot.Error{Kind: iot.Unavailable, Op: "send", Identity: t.s.id, Detail: "a batch sent before it was refused", Err: errors.New(cause.Error())}
		}
	}
	for _, p := range t.queue {
		p.batch.parts--
	}
	t.queue = nil
}

func report(ready []*batch) {
	for _, b := range ready {
		b.done(b.err)
	}
}

// observe has the session ended when the hub does not settle for too long.
// [mu held]
func (t *telemetry) observe() {
	limit := t.s.line.pool.cfg.OperationTimeout
	switch {
	case len(t.flight) == 0 && t.watch != nil:
		t.watch.Stop()
		t.watch = nil
	case len(t.flight) > 0 && t.watch == nil:
		t.watch = time.AfterFunc(time.Until(t.flight[0].since.Add(limit)), t.overdue)
	}
}

func (t *telemetry) overdue() {
	limit := t.s.line.pool.cfg.OperationTimeout
	t.mu.Lock()
	t.watch = nil
	var since time.Time
	late := len(t.flight) > 0 && time.Since(t.flight[0].since) >= limit
	if late {
		since = t.flight[0].since
	}
	if !late && t.over == nil {
		t.observe()
	}
	t.mu.Unlock()
	if late {
		t.s.end(iot.Errorf(iot.Timeout, "send", t.s.id, "not accepted within %s", limit))
		t.s.line.doubt(since)
	}
}

// close fails what is under way, and detaches.
func (t *telemetry) close(reason error) {
	t.mu.Lock()
	t.over = reason
	flight, sender := t.flight, t.sender
	t.flight, t.queue, t.bytes = nil, nil, 0
	if t.watch != nil {
		t.watch.Stop()
		t.watch = nil
	}
	t.room.Broadcast()
	t.mu.Unlock()
	for _, b := range flight {
		if b.err == nil {
			b.err = reason
		}
	}
	report(flight)
	if sender != nil {
		sender.CloseWith(nil)
	}
}
