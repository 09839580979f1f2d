package hub

import (
	"context"
	"errors"

	"sluice/internal/hub/code"
	"sluice/iot"
)

// Methods asks for direct methods.
func (s *session) Methods(invoke func(iot.MethodCall, func(iot.MethodResult))) (iot.Subscription, error) {
	offer := s.h.methods.Offer(s.Identity(), invoke)
	s.mu.Lock()
	s.methods = offer
	s.mu.Unlock()
	if err := s.Err(); err != nil {
		offer.Close()
		return nil, err
	}
	return offer, nil
}

// InvokeMethod calls a direct method of another identity. Only a module of an
// edge device may, and only within its device and its children.
func (s *session) InvokeMethod(ctx context.Context, target iot.Identity, call iot.MethodCall) (iot.MethodResult, error) {
	if !s.Identity().IsModule() || !s.h.below(target, s.Identity().Owner()) {
		return iot.MethodResult{}, iot.Errorf(iot.Forbidden, "method", s.Identity(), "it may not call methods of %s", target)
	}
	return s.h.InvokeMethod(ctx, target, call)
}

// InvokeMethod calls a direct method of target and waits for its answer. Errors
// carry a [code.Code]: DeviceNotFound, ModuleNotFound, ArgumentInvalid,
// DeviceNotOnline if the target does not come in time, GatewayTimeout if it does
// not answer in time.
func (h *Hub) InvokeMethod(ctx context.Context, target iot.Identity, call iot.MethodCall) (iot.MethodResult, error) {
	if _, err := h.entry("method", target); err != nil {
		return iot.MethodResult{}, err
	}
	result, err := h.methods.Invoke(ctx, target, call)
	var e *iot.Error
	if errors.As(err, &e) {
		e.Err = methodCodes[e.Kind]
	}
	return result, err
}

// methodCodes are the service's codes for what goes wrong with a method.
var methodCodes = map[iot.Kind]code.Code{
	iot.Invalid:  code.ArgumentInvalid,
	iot.NotFound: code.DeviceNotOnline,
	iot.Timeout:  code.GatewayTimeout,
}
