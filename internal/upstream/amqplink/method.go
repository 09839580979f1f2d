package amqplink

import (
	"context"
	"encoding/json"

	"sluice/amqp10"
	"sluice/internal/amqpmsg"
	"sluice/iot"
)

// Names of application properties.
const (
	methodNameKey   = "IoThub-methodname"
	methodStatusKey = "IoThub-status"
)

// calls is a session's readiness to have methods called.
type calls struct {
	links  *duplex
	invoke func(iot.MethodCall, func(iot.MethodResult))
}

// Methods attaches the links for methods.
func (s *session) Methods(invoke func(iot.MethodCall, func(iot.MethodResult))) (iot.Subscription, error) {
	s.attaching.Lock()
	defer s.attaching.Unlock()
	s.mu.Lock()
	before := s.calls
	s.calls = nil
	s.mu.Unlock()
	if before != nil {
		before.Close()
	}
	c := &calls{invoke: invoke}
	ctx, done := s.operate(context.Background())
	defer done()
	links, err := s.duplex(ctx, "/methods/devicebound", "methods", c.called)
	if err != nil {
		return nil, failure("methods", s.id, err)
	}
	c.links = links
	s.mu.Lock()
	s.calls = c
	over := s.reason
	s.mu.Unlock()
	if over != nil {
		c.Close()
		return nil, over
	}
	return c, nil
}

// called passes a call on. How long the hub waits for the answer it does not say.
func (c *calls) called(links *duplex, in *amqp10.Delivery) {
	msg, err := in.Message()
	if err != nil || msg.Properties == nil {
		in.Reject(amqp10.Errorf(amqp10.ErrDecode, "no method call"))
		return
	}
	payload, err := amqpmsg.Body(msg)
	if err != nil {
		in.Reject(amqp10.Errorf(amqp10.ErrDecode, "%v", err))
		return
	}
	id := msg.Properties.CorrelationID
	in.Accept()
	call := iot.MethodCall{Name: msg.ApplicationProperties.Text(methodNameKey)}
	if len(payload) > 0 {
		call.Payload = json.RawMessage(append([]byte(nil), payload...))
	}
	c.invoke(call, func(r iot.MethodResult) { reply(links, id, r) })
}

func reply(links *duplex, id any, r iot.MethodResult) {
	payload := r.Payload
	if payload == nil {
		payload = json.RawMessage("null")
	}
	msg := amqp10.NewMessage(payload)
	msg.Properties = &amqp10.Properties{CorrelationID: id}
	msg.ApplicationProperties.Set(methodStatusKey, int32(r.Status))
	// The hub has given the call up if the links are gone.
	_ = links.send(msg)
}

// Grant does nothing: methods are not counted.
func (*calls) Grant(int) {}

// Revoke does nothing: methods are not counted.
func (*calls) Revoke() int { return 0 }

// Close detaches the links.
func (c *calls) Close() { c.links.close() }

// InvokeMethod is not what devices and gateways ask of a hub.
func (s *session) InvokeMethod(_ context.Context, target iot.Identity, _ iot.MethodCall) (iot.MethodResult, error) {
	return iot.MethodResult{}, iot.Errorf(iot.NotFound, "method", s.id, "a hub calls methods of %v for services only", target)
}
