package mqtthead

import (
	"encoding/json"
	"strconv"
	"sync"
	"time"

	"sluice/iot"
	"sluice/mqtt"
)

// A methodDesk correlates method calls with their answers.
type methodDesk struct {
	session *session
	sub     iot.Subscription

	mu    sync.Mutex
	last  uint64
	calls map[string]methodCall // by request id
	sweep *time.Timer           // forgets calls that were not answered; nil if there are none
}

type methodCall struct {
	reply func(iot.MethodResult)
	until time.Time
}

const (
	// maxCalls is how many calls of one client may be waiting for an answer.
	maxCalls = 16_384
	// defaultResponse is the response timeout of a call that has none.
	defaultResponse = 30 * time.Second
	// sweepInterval is how much longer than its timeout a call is remembered.
	sweepInterval = 5 * time.Second
)

// invoke publishes a call. One that would only pile up is answered at once.
func (d *methodDesk) invoke(call iot.MethodCall, reply func(iot.MethodResult)) {
	s := d.session
	rid, ok := d.open(call, reply)
	if !ok || s.out.waiting() > crowd {
		d.take(rid)
		reply(iot.MethodResult{Status: iot.Throttled.HTTPStatus(), Payload: json.RawMessage(`{"message":"the client has too many calls to answer"}`)})
		return
	}
	payload := call.Payload
	if payload == nil {
		payload = json.RawMessage("null") // SDKs parse whatever comes
	}
	s.notify(methods, methodTopic(call.Name, rid), payload)
}

// open gives a call its request id: small hexadecimal numbers, as IoT Hub's.
func (d *methodDesk) open(call iot.MethodCall, reply func(iot.MethodResult)) (rid string, ok bool) {
	timeout := call.ResponseTimeout
	if timeout == 0 {
		timeout = defaultResponse
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.calls == nil || len(d.calls) >= maxCalls {
		return "", false
	}
	d.last++
	rid = strconv.FormatUint(d.last, 16)
	d.calls[rid] = methodCall{reply, time.Now().Add(timeout)}
	if d.sweep == nil {
		d.sweep = time.AfterFunc(timeout+sweepInterval, d.forget)
	}
	return rid, true
}

// forget drops the calls whose time is over: the hub has answered them.
func (d *methodDesk) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	for rid, call := range d.calls {
		if now.After(call.until) {
			delete(d.calls, rid)
		}
	}
	d.sweep = nil
	if len(d.calls) > 0 {
		d.sweep = time.AfterFunc(sweepInterval, d.forget)
	}
}

// take removes a call, so that only its first answer counts.
func (d *methodDesk) take(rid string) (methodCall, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	call, ok := d.calls[rid]
	delete(d.calls, rid)
	return call, ok && !time.Now().After(call.until)
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

// answerMethod passes an answer on. Unknown, late and repeated ones are ignored.
func (s *session) answerMethod(op operation, payload []byte) {
	if s.methods == nil {
		return
	}
	if call, ok := s.methods.take(op.rid); ok {
		call.reply(iot.MethodResult{Status: op.status, Payload: asJSON(payload)})
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

var _ mqtt.Session = (*session)(nil)
