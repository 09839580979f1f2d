package translate

import (
	"context"
	"sync"
	"time"

	"sluice/internal/leafwire"
	"sluice/iot"
)

// link is the module's own session, which says whether the gateway is there.
type link struct {
	mu      sync.Mutex
	session iot.Session   // nil while there is none
	change  chan struct{} // closed and replaced when session changes
}

func (k *link) init() { k.change = make(chan struct{}) }

func (k *link) set(s iot.Session) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.session = s
	close(k.change)
	k.change = make(chan struct{})
}

func (k *link) now() iot.Session {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.session
}

// wait waits for a session; nil when ctx ends.
func (k *link) wait(ctx context.Context) iot.Session {
	for {
		k.mu.Lock()
		s, change := k.session, k.change
		k.mu.Unlock()
		if s != nil {
			return s
		}
		select {
		case <-change:
		case <-ctx.Done():
			return nil
		}
	}
}

// product is what sessions say they are.
const product = "sluice-identity-translation"

// stayConnected keeps the module's session, as long as ctx lasts.
func (m *Module) stayConnected(ctx context.Context) {
	tries := 0
	for ctx.Err() == nil {
		began := time.Now()
		err := m.hold(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > time.Minute {
			tries = 0
		}
		rest := backoff(m.opt.Patience.Retry/4, m.opt.Patience.RetryLongest/4, tries)
		m.opt.Log.Warn("no gateway", "err", err, "again", rest)
		tries++
		pause(ctx, rest)
	}
}

// hold connects, and returns when the session has ended.
func (m *Module) hold(ctx context.Context) error {
	ended := make(chan error, 1)
	session, err := m.opt.Gateway.Connect(ctx, iot.Client{Protocol: "module", Product: product, Ended: func(reason error) { ended <- reason }})
	if err != nil {
		return err
	}
	defer func() { _ = session.Close() }()
	if _, err := session.Methods(m.called); err != nil {
		return err
	}
	in := newIntake(m, session)
	var reading sync.WaitGroup
	reading.Go(func() { in.run(ctx) })
	defer reading.Wait()
	defer in.stop()
	if err := in.open(); err != nil {
		return err
	}
	m.opt.Log.Info("connected", "module", m.id)
	m.link.set(session)
	defer m.link.set(nil)
	select {
	case reason := <-ended:
		return reason
	case <-ctx.Done():
		return ctx.Err()
	}
}

// called is a direct method of the module.
func (m *Module) called(call iot.MethodCall, reply func(iot.MethodResult)) {
	if call.Name != leafwire.CallbackMethod {
		reply(problem(501, "the module has no such method"))
		return
	}
	c, err := leafwire.ParseCallback(call.Payload)
	if err != nil {
		m.opt.Log.Warn("an answer of the cloud cannot be read", "err", err)
		reply(problem(400, err.Error()))
		return
	}
	m.settled(c, reply)
}

// settled takes the cloud's answer about a leaf. It is confirmed when it is on disk.
func (m *Module) settled(c leafwire.Callback, reply func(iot.MethodResult)) {
	m.mu.Lock()
	l := m.leaves[c.DeviceID]
	if l == nil {
		m.mu.Unlock()
		reply(problem(404, "the module knows no such leaf"))
		return
	}
	next := l.answered(c, &m.opt.Patience, time.Now())
	if next.State == l.State && !c.Succeeded() && l.asks() {
		m.opt.Log.Warn("the cloud could not do what it was asked for; it is asked again", "leaf", l.id,
			"operation", l.operation(), "code", c.ResultCode, "reason", c.Description, "again", l.Due.Format(time.RFC3339))
	}
	m.change(l, next, func() { reply(iot.MethodResult{Status: 200}) })
	if l.State == Registered {
		l.rest = time.Time{} // whatever it waited for may be over
	}
	m.consider(l)
	m.mu.Unlock()
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
