package amqphead

import (
	"encoding/json"
	"sync"
	"time"

	"sluice/amqp10"
	"sluice/internal/amqpmsg"
	"sluice/iot"
)

// A methodDesk correlates an identity's method calls with their answers. The zero
// value is ready.
type methodDesk struct {
	mu    sync.Mutex
	calls map[string]methodCall // by correlation id
	sweep *time.Timer           // forgets calls that were not answered; nil if there are none
}

type methodCall struct {
	reply func(iot.MethodResult)
	until time.Time
}

const (
	// maxCalls is how many calls of one identity may be waiting for an answer.
	maxCalls = 16_384
	// defaultResponse is the response timeout of a call that has none.
	defaultResponse = 30 * time.Second
	// sweepInterval is how much longer than its timeout a call is remembered.
	sweepInterval = 5 * time.Second
	// answerWindow is how many answers may be under way on one link.
	answerWindow = 100
)

// Names of application properties.
const (
	methodNameKey   = "IoThub-methodname"
	methodStatusKey = "IoThub-status"
)

// acceptCalls accepts the link on which an identity is called.
func (m *member) acceptCalls(r *amqp10.LinkRequest, l *link) error {
	out := &outbox{}
	sub, err := m.hub.Methods(func(call iot.MethodCall, reply func(iot.MethodResult)) {
		m.calls.invoke(out, call, reply)
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
		OnDelivery:   m.calls.answer,
		OnClose:      l.closed,
	})
}

// invoke sends a call. One that would only pile up is answered at once.
func (d *methodDesk) invoke(out *outbox, call iot.MethodCall, reply func(iot.MethodResult)) {
	id := amqpmsg.NewUUID()
	if _, bytes := out.waiting(); bytes > crowd || !d.open(id, call, reply) {
		reply(iot.MethodResult{Status: iot.Throttled.HTTPStatus(), Payload: json.RawMessage(`{"message":"the client has too many calls to answer"}`)})
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

// open remembers a call until its timeout.
func (d *methodDesk) open(id amqp10.UUID, call iot.MethodCall, reply func(iot.MethodResult)) bool {
	timeout := call.ResponseTimeout
	if timeout == 0 {
		timeout = defaultResponse
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.calls) >= maxCalls {
		return false
	}
	if d.calls == nil {
		d.calls = make(map[string]methodCall)
	}
	d.calls[amqpmsg.Correlation(id)] = methodCall{reply, time.Now().Add(timeout)}
	if d.sweep == nil {
		d.sweep = time.AfterFunc(timeout+sweepInterval, d.forget)
	}
	return true
}

// forget drops the calls whose time is over: the hub has answered them.
func (d *methodDesk) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	for id, call := range d.calls {
		if now.After(call.until) {
			delete(d.calls, id)
		}
	}
	d.sweep = nil
	if len(d.calls) > 0 {
		d.sweep = time.AfterFunc(sweepInterval, d.forget)
	}
}

// take removes a call, so that only its first answer counts.
func (d *methodDesk) take(id string) (methodCall, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	call, ok := d.calls[id]
	delete(d.calls, id)
	return call, ok && !time.Now().After(call.until)
}

// answer passes an answer on. Unknown, late and repeated ones are ignored.
func (d *methodDesk) answer(in *amqp10.Delivery) {
	id, result, err := readAnswer(in)
	if err != nil {
		in.Reject(refusal(err))
		return
	}
	if call, ok := d.take(id); ok {
		call.reply(result)
	}
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
	return amqpmsg.Correlation(msg.Properties.CorrelationID), iot.MethodResult{Status: status, Payload: asJSON(body)}, err
}

func readStatus(msg *amqp10.Message) (int, bool) {
	v, _ := msg.ApplicationProperties.Get(methodStatusKey)
	return amqpmsg.Integer(v)
}

// close forgets all calls; the hub knows that their target is gone.
func (d *methodDesk) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls = nil
	if d.sweep != nil {
		d.sweep.Stop()
		d.sweep = nil
	}
}

// asJSON makes an answer's payload fit for JSON around it: text that is no JSON
// becomes a string.
func asJSON(payload []byte) json.RawMessage {
	if len(payload) == 0 {
		return nil
	}
	if json.Valid(payload) {
		return payload
	}
	text, _ := json.Marshal(string(payload)) // a string always can be
	return text
}
