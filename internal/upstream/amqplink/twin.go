package amqplink

import (
	"context"
	"encoding/json"
	"sync"

	"sluice/amqp10"
	"sluice/internal/amqpmsg"
	"sluice/internal/upstream/twinjson"
	"sluice/iot"
)

// Annotations of requests and answers, and the resources that they are about.
const (
	operationKey amqp10.Symbol = "operation"
	resourceKey  amqp10.Symbol = "resource"
	statusKey    amqp10.Symbol = "status"
	versionKey   amqp10.Symbol = "version"

	reportedResource     = "/properties/reported"
	desiredNotifications = "/notifications/twin/properties/desired"
)

// A twinDesk asks the hub about a session's twin.
type twinDesk struct {
	s     *session
	links *duplex

	mu      sync.Mutex
	waiting map[string]chan *amqp10.Message // by correlation id
	desired *desired                        // nil if changes are not wanted
}

// desired is an interest in desired properties.
type desired struct {
	t       *twinDesk
	changed func(json.RawMessage)
}

// twinDesk returns the desk, which is attached if it is not yet.
func (s *session) twinDesk(ctx context.Context) (*twinDesk, error) {
	s.attaching.Lock()
	defer s.attaching.Unlock()
	s.mu.Lock()
	t := s.twin
	s.mu.Unlock()
	if t != nil {
		return t, nil
	}
	t = &twinDesk{s: s, waiting: make(map[string]chan *amqp10.Message)}
	links, err := s.duplex(ctx, "/twin", "twin", t.take)
	if err != nil {
		return nil, err
	}
	t.links = links
	s.mu.Lock()
	s.twin = t
	over := s.reason
	s.mu.Unlock()
	if over != nil {
		links.close()
		return nil, over
	}
	return t, nil
}

// Twin asks for the twin.
func (s *session) Twin(ctx context.Context) (iot.Twin, error) {
	answer, err := s.ask(ctx, "twin", "GET", "", []byte(" "))
	if err != nil {
		return iot.Twin{}, err
	}
	text, err := amqpmsg.Body(answer)
	if err != nil {
		return iot.Twin{}, failure("twin", s.id, err)
	}
	twin, err := twinjson.Read(text)
	return twin, failure("twin", s.id, err)
}

// PatchReported has the hub merge a patch.
func (s *session) PatchReported(ctx context.Context, patch json.RawMessage) (int64, error) {
	answer, err := s.ask(ctx, "twin.patch", "PATCH", reportedResource, patch)
	if err != nil {
		return 0, err
	}
	v, _ := answer.Annotations.Get(versionKey)
	version, ok := amqpmsg.Integer(v)
	if !ok {
		return 0, iot.Errorf(iot.Unavailable, "twin.patch", s.id, "the answer has no version")
	}
	return int64(version), nil
}

// DesiredChanges subscribes at the hub.
func (s *session) DesiredChanges(changed func(json.RawMessage)) (iot.Subscription, error) {
	ctx, done := s.operate(context.Background())
	defer done()
	t, err := s.twinDesk(ctx)
	if err != nil {
		return nil, failure("desired", s.id, err)
	}
	d := &desired{t: t, changed: changed}
	t.mu.Lock()
	t.desired = d // before the answer: changes may come at once
	t.mu.Unlock()
	if _, err := s.ask(ctx, "desired", "PUT", desiredNotifications, []byte(" ")); err != nil {
		t.drop(d)
		return nil, err
	}
	return d, nil
}

// drop ends an interest, and reports whether it was the one of the moment.
func (t *twinDesk) drop(d *desired) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	current := t.desired == d
	if current {
		t.desired = nil
	}
	return current
}

// Grant does nothing: changes are not counted.
func (*desired) Grant(int) {}

// Revoke does nothing: changes are not counted.
func (*desired) Revoke() int { return 0 }

// Close ends the interest. It does not wait for the hub to know.
func (d *desired) Close() {
	if d.t.drop(d) {
		_ = d.t.links.send(twinRequest(amqpmsg.NewUUID().String(), "DELETE", desiredNotifications, []byte(" ")))
	}
}

func twinRequest(id, operation, resource string, body []byte) *amqp10.Message {
	msg := amqp10.NewMessage(body)
	msg.Properties = &amqp10.Properties{CorrelationID: id}
	msg.Annotations.Set(operationKey, operation)
	if resource != "" {
		msg.Annotations.Set(resourceKey, resource)
	}
	return msg
}

// ask sends a request and waits for its answer.
func (s *session) ask(ctx context.Context, op, operation, resource string, body []byte) (*amqp10.Message, error) {
	ctx, done := s.operate(ctx)
	defer done()
	t, err := s.twinDesk(ctx)
	if err != nil {
		return nil, failure(op, s.id, err)
	}
	id := amqpmsg.NewUUID().String()
	answer := make(chan *amqp10.Message, 1)
	t.mu.Lock()
	t.waiting[id] = answer
	t.mu.Unlock()
	defer t.forget(id)
	if err := t.links.send(twinRequest(id, operation, resource, body)); err != nil {
		return nil, err
	}
	select {
	case msg := <-answer:
		return msg, s.refusal(op, msg)
	case <-s.ended:
		return nil, s.err()
	case <-ctx.Done():
		return nil, failure(op, s.id, ctx.Err())
	}
}

// refusal is the error that an answer says; nil if it says success or nothing.
func (s *session) refusal(op string, msg *amqp10.Message) error {
	v, ok := msg.Annotations.Get(statusKey)
	status, _ := amqpmsg.Integer(v)
	if !ok || status >= 200 && status < 300 {
		return nil
	}
	text, _ := amqpmsg.Body(msg)
	return iot.Errorf(iot.KindFromHTTP(status), op, s.id, "the hub says %d: %.300s", status, text)
}

func (t *twinDesk) forget(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.waiting, id)
}

// take takes what the hub sends about the twin: answers have a correlation id,
// changes of the desired properties have none.
func (t *twinDesk) take(_ *duplex, in *amqp10.Delivery) {
	msg, err := in.Message()
	if err != nil {
		in.Reject(amqp10.Errorf(amqp10.ErrDecode, "%v", err))
		return
	}
	in.Accept()
	t.s.line.answered()
	if msg.Properties != nil && msg.Properties.CorrelationID != nil {
		id := amqpmsg.Correlation(msg.Properties.CorrelationID)
		t.mu.Lock()
		answer := t.waiting[id]
		delete(t.waiting, id)
		t.mu.Unlock()
		if answer != nil {
			answer <- msg
		}
		return
	}
	patch, err := amqpmsg.Body(msg)
	t.mu.Lock()
	d := t.desired
	t.mu.Unlock()
	if d != nil && err == nil {
		d.changed(json.RawMessage(append([]byte(nil), patch...)))
	}
}
