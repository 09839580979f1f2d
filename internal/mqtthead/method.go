package mqtthead

import (
	"encoding/json"
	"strconv"
	"sync/atomic"

	"sluice/internal/method"
	"sluice/iot"
	"sluice/mqtt"
)

// A methodDesk hands method calls to a client, and its answers back.
type methodDesk struct {
	session *session
	sub     iot.Subscription
	last    atomic.Uint64 // request id
	calls   method.Calls
}

// invoke publishes a call. One that would only pile up is answered at once.
func (d *methodDesk) invoke(call iot.MethodCall, reply func(iot.MethodResult)) {
	s := d.session
	rid := strconv.FormatUint(d.last.Add(1), 16) // small hexadecimal numbers, as IoT Hub's
	if s.out.waiting() > crowd || !d.calls.Add(rid, call, reply) {
		reply(method.TooManyCalls)
		return
	}
	payload := call.Payload
	if payload == nil {
		payload = json.RawMessage("null") // SDKs parse whatever comes
	}
	s.notify(methods, methodTopic(call.Name, rid), payload)
}

// answerMethod passes an answer on.
func (s *session) answerMethod(op operation, payload []byte) {
	if s.methods != nil {
		s.methods.calls.Answer(op.rid, iot.MethodResult{Status: op.status, Payload: method.Payload(payload)})
	}
}

var _ mqtt.Session = (*session)(nil)
