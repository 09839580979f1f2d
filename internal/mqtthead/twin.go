package mqtthead

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strconv"

	"sluice/iot"
	"sluice/mqtt"
)

// maxTwinRequests is how many twin requests of one client wait, acknowledged, and
// maxTwinRequest how large one may be for that: more than any twin takes. Of the
// others the acknowledgement waits for their turn, at QoS 0 too, and the engine
// stops reading when it has given out enough of them.
const (
	maxTwinRequests = 32
	maxTwinRequest  = 64 << 10
)

// requestTwin puts a twin request in line.
func (s *session) requestTwin(op operation, p *mqtt.Publish) {
	late := s.twinRequests.Add(1) > maxTwinRequests || len(p.Payload) > maxTwinRequest
	request := *p
	if !late {
		p.Ack(nil)
	}
	s.twin.push(func() {
		if late {
			request.Ack(nil)
		}
		s.serveTwin(op, request.Payload)
		s.twinRequests.Add(-1)
	})
}

// serveTwin asks the hub, and answers the client if it listens for answers.
func (s *session) serveTwin(op operation, payload []byte) {
	if s.life.Err() != nil {
		return
	}
	ctx, cancel := s.operate(s.life)
	defer cancel()
	topic, body, err := s.askTwin(ctx, op, payload)
	if err != nil {
		if ctx.Err() != nil && errors.Is(err, context.DeadlineExceeded) {
			err = &iot.Error{Kind: iot.Timeout, Op: "twin", Identity: s.id, Err: err}
		}
		status := iot.KindOf(err).HTTPStatus()
		s.head.log.Info("mqtthead: twin request failed", "identity", s.id.String(), "err", err)
		topic, body = twinAnswerTopic(status, op.rid), twinError(err)
	}
	s.notify(twinAnswers, topic, body)
}

func (s *session) askTwin(ctx context.Context, op operation, payload []byte) (topic string, body []byte, err error) {
	if s.out.waiting() > crowd {
		return "", nil, iot.Errorf(iot.Throttled, "twin", s.id, "too many answers wait to be read")
	}
	if op.kind == twinGet {
		twin, err := s.hub.Twin(ctx)
		if err != nil {
			return "", nil, err
		}
		return twinAnswerTopic(200, op.rid), twinDocument(twin), nil
	}
	if !json.Valid(payload) {
		return "", nil, iot.Errorf(iot.Invalid, "twin.patch", s.id, "the patch is not JSON")
	}
	version, err := s.hub.PatchReported(ctx, payload)
	if err != nil {
		return "", nil, err
	}
	return twinAnswerTopic(204, op.rid) + versionSuffix(version), nil, nil
}

// twinDocument is a twin as its device reads it.
func twinDocument(t iot.Twin) []byte {
	b := make([]byte, 0, len(t.Desired)+len(t.Reported)+80)
	b = append(b, `{"desired":`...)
	b = appendVersioned(b, t.Desired, t.DesiredVersion)
	b = append(b, `,"reported":`...)
	b = appendVersioned(b, t.Reported, t.ReportedVersion)
	return append(b, '}')
}

// appendVersioned appends a JSON object with its version as the last member.
func appendVersioned(b []byte, object json.RawMessage, version int64) []byte {
	members := bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(object), []byte("}")))
	if len(members) == 0 {
		members = []byte("{")
	}
	b = append(b, members...)
	if len(members) > 1 {
		b = append(b, ',')
	}
	b = append(b, `"$version":`...)
	b = strconv.AppendInt(b, version, 10)
	return append(b, '}')
}

// twinError is the body of an answer that is an error. SDKs take one without an
// errorCode for success, whatever status the topic has. The code is the status
// and three digits, as IoT Hub's are. What was wrong with the request is told;
// what is wrong with us is not.
func twinError(err error) []byte {
	kind := iot.KindOf(err)
	message := kind.String()
	var e *iot.Error
	if errors.As(err, &e) && e.Detail != "" && kind.HTTPStatus() < 500 && kind != iot.Unauthorized {
		message = e.Detail
	}
	body, _ := json.Marshal(struct { // strings and numbers always can be
		Code    int    `json:"errorCode"`
		Message string `json:"message"`
	}{kind.HTTPStatus()*1000 + 1, message})
	return body
}
