package gateway

import (
	"context"
	"time"

	"sluice/internal/gateway/meter"
	"sluice/iot"
)

// Methods asks for direct methods: of the hub, and of modules at this gateway.
func (s *session) Methods(invoke func(iot.MethodCall, func(iot.MethodResult))) (iot.Subscription, error) {
	if err := s.Err(); err != nil {
		return nil, err
	}
	offer := s.g.methods.Offer(s.Identity(), invoke)
	s.down.mu.Lock()
	s.down.methods = true
	s.down.offer = offer
	s.down.begin()
	s.down.mu.Unlock()
	if err := s.Err(); err != nil { // it left meanwhile
		offer.Close()
		return nil, err
	}
	return offer, nil
}

// methodFlow carries method calls from the hub to a client.
type methodFlow struct{ d *downlink }

func (f methodFlow) attach(ctx context.Context, p *peer) error {
	up, err := p.session.Methods(func(call iot.MethodCall, reply func(iot.MethodResult)) {
		f.d.s.g.spawn(func() { f.call(ctx, call, reply) })
	})
	if err != nil {
		return err
	}
	f.d.mu.Lock()
	f.d.methodsUp = up
	f.d.mu.Unlock()
	return nil
}

// detach ends the subscription: the hub's session may go on without the client, and
// callers are to be told at once that nobody answers.
func (f methodFlow) detach() {
	f.d.mu.Lock()
	up := f.d.methodsUp
	f.d.methodsUp = nil
	f.d.mu.Unlock()
	if up != nil {
		up.Close()
	}
}

// call waits for the client's answer. Without one the caller's own time runs out.
func (f methodFlow) call(ctx context.Context, call iot.MethodCall, reply func(iot.MethodResult)) {
	id := f.d.s.Identity()
	r, err := f.d.s.g.invoke(ctx, toUpstream, id, call)
	if err != nil {
		f.d.s.g.log.Debug("a method was not answered", "identity", id, "method", call.Name, "err", err)
		return
	}
	reply(r)
}

// InvokeMethod calls a direct method of another identity at this gateway, whether
// the hub is there or not. Only modules of the gateway's own device may.
func (s *session) InvokeMethod(ctx context.Context, target iot.Identity, call iot.MethodCall) (iot.MethodResult, error) {
	me := s.Identity()
	if !me.IsModule() || me.Device != s.g.opt.Device {
		return iot.MethodResult{}, iot.Errorf(iot.Forbidden, "method", me, "only modules of %s may call methods", s.g.opt.Device)
	}
	if _, known := s.g.scope.Registration(target); !known && !s.g.scope.Lookup(ctx, target) {
		return iot.MethodResult{}, iot.Errorf(iot.NotFound, "method", target, "it is not registered, or not in scope")
	}
	return s.g.invoke(ctx, me.String(), target, call)
}

// invoke calls a method and counts it.
func (g *Gateway) invoke(ctx context.Context, caller string, target iot.Identity, call iot.MethodCall) (iot.MethodResult, error) {
	began := time.Now()
	defer func() { timed(g.meters.Of(target), meter.MethodsCalled, meter.MethodDuration, caller, began) }()
	return g.methods.Invoke(ctx, target, call)
}
