package hub

import (
	"context"
	"sync"
	"time"

	"sluice/internal/hub/code"
	"sluice/iot"
)

// The times of a direct method.
const (
	defaultResponseTimeout = 30 * time.Second
	minResponseTimeout     = 5 * time.Second
	maxMethodTimeout       = 300 * time.Second
)

// A methodSubscription is a device's readiness to have methods called.
type methodSubscription struct {
	s      *session
	invoke func(iot.MethodCall, func(iot.MethodResult))
	gone   chan struct{} // closed when it ends
	once   sync.Once
}

// Methods asks for direct methods.
func (s *session) Methods(invoke func(iot.MethodCall, func(iot.MethodResult))) (iot.Subscription, error) {
	sub := &methodSubscription{s: s, invoke: invoke, gone: make(chan struct{})}
	s.mu.Lock()
	before := s.methods
	s.methods = sub
	s.mu.Unlock()
	if before != nil {
		before.abandon()
	}
	if err := s.Err(); err != nil {
		sub.Close()
		return nil, err
	}
	s.h.calls.arrived()
	return sub, nil
}

// Grant does nothing: methods are not counted.
func (*methodSubscription) Grant(int) {}

// Revoke does nothing: methods are not counted.
func (*methodSubscription) Revoke() int { return 0 }

// Close ends the readiness. Calls that wait for an answer fail.
func (m *methodSubscription) Close() {
	m.s.mu.Lock()
	if m.s.methods == m {
		m.s.methods = nil
	}
	m.s.mu.Unlock()
	m.abandon()
}

func (m *methodSubscription) abandon() { m.once.Do(func() { close(m.gone) }) }

// calls lets those who wait for a target to come know that somebody came.
type calls struct {
	mu   sync.Mutex
	news chan struct{} // closed at the next arrival
}

func (c *calls) arrived() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.news != nil {
		close(c.news)
		c.news = nil
	}
}

func (c *calls) next() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.news == nil {
		c.news = make(chan struct{})
	}
	return c.news
}

// InvokeMethod calls a direct method of another identity. Only a module of an
// edge device may, and only within its device and its children.
func (s *session) InvokeMethod(ctx context.Context, target iot.Identity, call iot.MethodCall) (iot.MethodResult, error) {
	if !s.mayInvoke(target) {
		return iot.MethodResult{}, iot.Errorf(iot.Forbidden, "method", s.Identity(), "it may not call methods of %s", target)
	}
	return s.h.InvokeMethod(ctx, target, call)
}

func (s *session) mayInvoke(target iot.Identity) bool {
	me := s.Identity()
	if !me.IsModule() {
		return false
	}
	above, err := s.h.auth.Ancestors(target)
	if err != nil {
		return false
	}
	for _, edge := range above {
		if edge.Identity == me.Owner() {
			return true
		}
	}
	return false
}

// InvokeMethod calls a direct method of target and waits for its answer. Errors
// carry a [code.Code]: DeviceNotFound, ModuleNotFound, ArgumentInvalid,
// DeviceNotOnline if the target does not come in time, GatewayTimeout if it does
// not answer in time.
func (h *Hub) InvokeMethod(ctx context.Context, target iot.Identity, call iot.MethodCall) (iot.MethodResult, error) {
	if err := checkCall(target, &call); err != nil {
		return iot.MethodResult{}, err
	}
	if _, err := h.entry("method", target); err != nil {
		return iot.MethodResult{}, err
	}
	sub, err := h.target(ctx, target, call.ConnectTimeout)
	if err != nil {
		return iot.MethodResult{}, err
	}
	answer := make(chan iot.MethodResult, 1)
	sub.invoke(call, func(r iot.MethodResult) {
		select {
		case answer <- r:
		default: // answered twice: the first counts
		}
	})
	timeout := time.NewTimer(call.ResponseTimeout)
	defer timeout.Stop()
	select {
	case r := <-answer:
		return r, nil
	case <-timeout.C:
		return iot.MethodResult{}, code.Errorf(code.GatewayTimeout, "method", target, "timed out waiting for the response from device")
	case <-sub.gone:
		return iot.MethodResult{}, code.Errorf(code.DeviceNotOnline, "method", target, "it left before it answered")
	case <-ctx.Done():
		return iot.MethodResult{}, ctx.Err()
	}
}

func checkCall(target iot.Identity, call *iot.MethodCall) error {
	if call.ResponseTimeout == 0 {
		call.ResponseTimeout = defaultResponseTimeout
	}
	switch {
	case call.Name == "":
		return code.Errorf(code.ArgumentInvalid, "method", target, "methodName is missing")
	case call.ResponseTimeout < minResponseTimeout || call.ResponseTimeout > maxMethodTimeout:
		return code.Errorf(code.ArgumentInvalid, "method", target, "responseTimeoutInSeconds must be 5 to 300")
	case call.ConnectTimeout < 0 || call.ConnectTimeout > maxMethodTimeout:
		return code.Errorf(code.ArgumentInvalid, "method", target, "connectTimeoutInSeconds must be 0 to 300")
	}
	return nil
}

// target waits until target is ready to have methods called.
func (h *Hub) target(ctx context.Context, target iot.Identity, wait time.Duration) (*methodSubscription, error) {
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	for {
		news := h.calls.next()
		if sub := h.ready(target); sub != nil {
			return sub, nil
		}
		select {
		case <-news:
		case <-deadline.C:
			return nil, code.Errorf(code.DeviceNotOnline, "method", target, "the operation failed because the requested device isn't online or hasn't registered the direct method callback")
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (h *Hub) ready(target iot.Identity) *methodSubscription {
	s, ok := h.sessions.Get(target)
	if !ok {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.methods
}
