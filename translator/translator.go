package translator

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"sluice/internal/leafwire"
	"sluice/iot"
)

// ErrClosed is returned for messages that the gateway had not acknowledged when the
// translator ended. They may yet arrive.
var ErrClosed = errors.New("translator: closed")

// Translator is a module that speaks for leaves. Its methods may be called from any
// goroutine, before and during Run.
type Translator struct {
	opt     Options
	out     *outbox
	began   atomic.Bool
	recent  recent // owned by the session's receiver; sessions do not overlap
	backoff func(attempt int) time.Duration
}

// New makes a translator, which connects when it is run. The error says which
// option is wrong, or that this process is not a module.
func New(opt Options) (*Translator, error) {
	if err := opt.complete(); err != nil {
		return nil, err
	}
	return &Translator{opt: opt, out: newOutbox(opt.Window, opt.WindowBytes), backoff: pause}, nil
}

// drainTime is how long messages may still be acknowledged after the end. A
// gateway that stops gives its modules a second and a half in all.
const drainTime = time.Second

// Run connects to the gateway, and again whenever the connection is lost, until
// ctx ends; then it waits up to a second for acknowledgements. It returns nil when
// all that it started has ended, and may be called once.
func (t *Translator) Run(ctx context.Context) error {
	if t.began.Swap(true) {
		return errors.New("translator: Run is called once")
	}
	defer t.out.close()
	for attempt := 0; ; attempt++ {
		up, err := t.serve(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if up > time.Minute {
			attempt = 0
		}
		wait := t.backoff(attempt)
		t.opt.Log.Warn("no connection to the gateway", "error", err, "again", wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
	}
}

// pause is how long to wait before connecting again: a quarter of a second, then
// twice that, up to half a minute.
func pause(attempt int) time.Duration {
	return min(250*time.Millisecond<<min(attempt, 10), 30*time.Second)
}

// session is one connection to the gateway.
type session struct {
	of    *Translator
	s     iot.Session
	ended chan error // of capacity 1
	over  atomic.Bool
}

func (c *session) end(err error) {
	select {
	case c.ended <- err:
	default:
	}
}

// serve connects once, and returns when that connection has ended: how long it was
// there, and why it is not.
func (t *Translator) serve(ctx context.Context) (time.Duration, error) {
	c := &session{of: t, ended: make(chan error, 1)}
	s, err := t.opt.Connect(ctx, iot.Client{Product: "sluice-translator", Ended: c.end})
	if err != nil {
		return 0, err
	}
	c.s = s
	began := time.Now()
	t.opt.Log.Info("connected to the gateway", "module", t.opt.ModuleID)
	t.out.rewind()
	stop := make(chan struct{})
	var parts sync.WaitGroup
	parts.Go(func() { c.send(stop) })
	parts.Go(func() { c.receive(stop) })
	if t.opt.Configure != nil {
		parts.Go(func() { c.configure(stop) })
	}
	select {
	case err = <-c.ended:
	case <-ctx.Done():
		c.drain()
	}
	c.over.Store(true)
	close(stop)
	_ = s.Close() // it has ended, or all that matters was acknowledged
	parts.Wait()
	return time.Since(began), err
}

// drain waits for what the gateway has not acknowledged.
func (c *session) drain() {
	late := time.After(drainTime)
	for !c.of.out.empty() {
		select {
		case <-c.of.out.idle:
		case <-c.ended:
			return
		case <-late:
			return
		}
	}
}

// send gives the gateway what is posted, as it comes.
func (c *session) send(stop <-chan struct{}) {
	for {
		for batch := c.of.out.next(); len(batch) > 0; batch = c.of.out.next() {
			c.s.Send(messages(batch), func(err error) { c.sent(batch, err) })
		}
		select {
		case <-c.of.out.wake:
		case <-stop:
			return
		}
	}
}

func messages(batch []*outgoing) []iot.Message {
	list := make([]iot.Message, len(batch))
	for i, out := range batch {
		list[i] = out.message
	}
	return list
}

// sent learns what became of a batch. A failure that is not the message's ends the
// session, so that everything after it is sent again behind it, in order.
func (c *session) sent(batch []*outgoing, err error) {
	switch {
	case err == nil:
		c.of.out.settle(batch, nil)
	case c.over.Load():
	case !hopeless(err):
		c.end(err)
	case len(batch) == 1:
		c.of.out.settle(batch, err)
	default:
		c.of.out.isolate(batch)
		c.end(err)
	}
}

// hopeless reports whether a message will never be taken.
func hopeless(err error) bool {
	kind := iot.KindOf(err)
	return kind == iot.Invalid || kind == iot.TooLarge
}

// post queues a message that counts against the window.
func (t *Translator) post(ctx context.Context, m iot.Message, done func(error)) error {
	return t.hand(ctx, m, false, done)
}

// hand queues a message for the gateway.
func (t *Translator) hand(ctx context.Context, m iot.Message, exempt bool, done func(error)) error {
	m.System = append(iot.System(nil), m.System...) // the caller's stays as it is
	m.System.Set(iot.OutputName, t.opt.Output)
	size := m.Size()
	if size > iot.MaxMessageSize {
		leaf, _, _ := leafwire.Leaf(&m)
		return iot.Errorf(iot.TooLarge, "send", iot.DeviceIdentity(leaf), "%d bytes, at most %d", size, iot.MaxMessageSize)
	}
	return t.out.post(ctx, &outgoing{message: m, size: size, exempt: exempt, done: done})
}
