package amqphead

import (
	"encoding/json"

	"sluice/amqp10"
	"sluice/internal/amqpmsg"
	"sluice/internal/method"
	"sluice/iot"
)

// answerWindow is how many answers may be under way on one link.
const answerWindow = 100

// Names of application properties.
const (
	methodNameKey   = "IoThub-methodname"
	methodStatusKey = "IoThub-status"
)

// acceptCalls accepts the link on which an identity is called.
func (m *member) acceptCalls(r *amqp10.LinkRequest, l *link) error {
	out := &outbox{}
	sub, err := m.hub.Methods(func(call iot.MethodCall, reply func(iot.MethodResult)) {
		m.invoke(out, call, reply)
	})
	if err != nil {
		return err
	}
	l.release = func() {
		sub.Close()
		out.close()
	}
	out.accept(r, l)
	return nil
}

// acceptAnswers accepts the link on which it answers.
func (m *member) acceptAnswers(r *amqp10.LinkRequest, l *link) ending {
	return r.AcceptReceiver(amqp10.ReceiverConfig{
		ReceiverMode: settleFirst,
		Window:       answerWindow,
		OnDelivery:   m.answered,
		OnClose:      l.closed,
	})
}

// invoke sends a call. One that would only pile up is answered at once.
func (m *member) invoke(out *outbox, call iot.MethodCall, reply func(iot.MethodResult)) {
	id := amqpmsg.NewUUID()
	if _, bytes := out.waiting(); bytes > crowd || !m.calls.Add(amqpmsg.Correlation(id), call, reply) {
		reply(method.TooManyCalls)
		return
	}
	payload := call.Payload
	if payload == nil {
		payload = json.RawMessage("null") // SDKs parse whatever comes
	}
	msg := amqp10.NewMessage(payload)
	msg.Properties = &amqp10.Properties{CorrelationID: id}
	msg.ApplicationProperties.Set(methodNameKey, call.Name)
	out.send(amqp10.Outgoing{Message: msg})
}

// answered passes an answer on.
func (m *member) answered(in *amqp10.Delivery) {
	id, result, err := readAnswer(in)
	if err != nil {
		in.Reject(refusal(err))
		return
	}
	m.calls.Answer(id, result)
	in.Accept()
}

func readAnswer(in *amqp10.Delivery) (id string, result iot.MethodResult, err error) {
	msg, err := in.Message()
	if err != nil {
		return "", result, undecodable(err)
	}
	status, ok := readStatus(msg)
	if !ok || msg.Properties == nil {
		return "", result, iot.Errorf(iot.Invalid, "method", iot.Identity{}, "the answer needs a correlation id and the property %s", methodStatusKey)
	}
	body, err := amqpmsg.Body(msg)
	return amqpmsg.Correlation(msg.Properties.CorrelationID), iot.MethodResult{Status: status, Payload: method.Payload(body)}, err
}

func readStatus(msg *amqp10.Message) (int, bool) {
	v, _ := msg.ApplicationProperties.Get(methodStatusKey)
	return amqpmsg.Integer(v)
}
