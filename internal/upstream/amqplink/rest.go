package amqplink

import (
	"context"
	"encoding/json"

	"sluice/iot"
)

func (s *session) unsupported(what string) error {
	return iot.Errorf(iot.Unavailable, what, s.id, "not yet")
}

func (s *session) Commands(func(iot.Delivery)) (iot.Subscription, error) {
	return nil, s.unsupported("commands")
}

func (s *session) Inputs(func(iot.Delivery)) (iot.Subscription, error) {
	return nil, s.unsupported("inputs")
}

func (s *session) Settle(context.Context, string, iot.Outcome) error { return s.unsupported("settle") }

func (s *session) Methods(func(iot.MethodCall, func(iot.MethodResult))) (iot.Subscription, error) {
	return nil, s.unsupported("methods")
}

func (s *session) InvokeMethod(context.Context, iot.Identity, iot.MethodCall) (iot.MethodResult, error) {
	return iot.MethodResult{}, s.unsupported("method")
}

func (s *session) Twin(context.Context) (iot.Twin, error) { return iot.Twin{}, s.unsupported("twin") }

func (s *session) PatchReported(context.Context, json.RawMessage) (int64, error) {
	return 0, s.unsupported("reported properties")
}

func (s *session) DesiredChanges(func(json.RawMessage)) (iot.Subscription, error) {
	return nil, s.unsupported("desired properties")
}
