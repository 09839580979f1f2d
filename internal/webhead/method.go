package webhead

import (
	"encoding/json"
	"net/http"
	"time"

	"sluice/internal/hub/code"
	"sluice/iot"
)

// The limits of direct methods, as IoT Hub has them.
const (
	maxMethod  = 160 << 10 // of the request
	maxPayload = 128 << 10
	maxTimeout = 300 // seconds
	minTimeout = 5   // to answer; to connect it is 0
)

// invokeMethod calls a direct method for a module.
func (c *call) invokeMethod() (answer, error) {
	target, err := c.target()
	if err != nil {
		return answer{}, err
	}
	m, err := c.readMethod()
	if err != nil {
		return answer{}, err
	}
	// The hub keeps to the call's own timeouts.
	result, err := c.session.hub.InvokeMethod(c.r.Context(), target, m)
	if err != nil {
		return answer{}, c.methodError(target, err)
	}
	if len(result.Payload) == 0 {
		result.Payload = json.RawMessage("null")
	}
	body, err := json.Marshal(struct {
		Status  int             `json:"status"`
		Payload json.RawMessage `json:"payload"`
	}{result.Status, result.Payload})
	if err != nil {
		return answer{}, iot.Errorf(iot.Internal, "method", target, "the answer is no JSON: %v", err)
	}
	return answer{status: http.StatusOK, contentType: "application/json; charset=utf-8", body: body}, nil
}

// methodError is why a method was not answered. That its target is not there is told
// apart from an unknown caller.
func (c *call) methodError(target iot.Identity, err error) error {
	switch iot.KindOf(err) {
	case iot.NotFound:
		return code.Errorf(code.DeviceNotOnline, "method", target, "%v is not connected, or does not listen to methods", target)
	case iot.Timeout:
		return code.Errorf(code.GatewayTimeout, "method", target, "%v did not answer in time", target)
	}
	return c.sessionError(err)
}

func (c *call) readMethod() (m iot.MethodCall, err error) {
	text, err := c.readJSON(maxMethod)
	if err != nil {
		return m, err
	}
	response, connect := 0, 0
	err = c.fields(text, func(name string, value json.RawMessage) error {
		var err error
		switch name {
		case "methodName":
			err = json.Unmarshal(value, &m.Name)
		case "payload":
			m.Payload = value
		case "responseTimeoutInSeconds":
			err = json.Unmarshal(value, &response)
		case "connectTimeoutInSeconds":
			err = json.Unmarshal(value, &connect)
		}
		if err != nil {
			return c.malformed("%s is not what it must be", name)
		}
		return nil
	})
	if err != nil {
		return m, err
	}
	m.ResponseTimeout, m.ConnectTimeout = time.Duration(response)*time.Second, time.Duration(connect)*time.Second
	return m, c.checkMethod(&m, response, connect)
}

func (c *call) checkMethod(m *iot.MethodCall, response, connect int) error {
	switch {
	case m.Name == "":
		return code.Errorf(code.ArgumentNull, "method", c.id, "methodName is missing")
	case len(m.Payload) > maxPayload:
		return code.Errorf(code.MessageTooLarge, "method", c.id, "the payload has %d bytes; at most %d", len(m.Payload), maxPayload)
	case response != 0 && (response < minTimeout || response > maxTimeout):
		return code.Errorf(code.ArgumentInvalid, "method", c.id, "responseTimeoutInSeconds is %d; it is %d to %d", response, minTimeout, maxTimeout)
	case connect < 0 || connect > maxTimeout:
		return code.Errorf(code.ArgumentInvalid, "method", c.id, "connectTimeoutInSeconds is %d; it is 0 to %d", connect, maxTimeout)
	}
	return nil
}
