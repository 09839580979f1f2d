package amqphead

import (
	"encoding/json"
	"strings"
	"sync"

	"sluice/amqp10"
	"sluice/internal/amqpmsg"
	"sluice/iot"
)

// A twinDesk serves an identity's twin requests, one at a time and in order. The
// zero value is ready.
type twinDesk struct {
	requests turns[struct{}]

	mu      sync.Mutex
	answers *twinAnswers     // nil while the client does not listen
	desired iot.Subscription // nil if desired changes are not wanted
}

// twinAnswers is the link on which the client hears of its twin.
type twinAnswers struct {
	outbox
	link *link
}

// twinWindow is how many requests of one link may wait.
const twinWindow = 32

// Annotations of requests and answers.
const (
	operationKey amqp10.Symbol = "operation"
	resourceKey  amqp10.Symbol = "resource"
	statusKey    amqp10.Symbol = "status"
	versionKey   amqp10.Symbol = "version"
)

// Resources. The first is what a request subscribes to, the second whence a change
// comes.
const (
	desiredNotifications = "/notifications/twin/properties/desired"
	desiredResource      = "/properties/desired"
	reportedResource     = "/properties/reported"
)

// acceptTwinAnswers accepts the link on which the client hears of its twin.
func (m *member) acceptTwinAnswers(r *amqp10.LinkRequest, l *link) error {
	answers := &twinAnswers{link: l}
	l.release = func() { m.twin.unlisten(answers) }
	m.twin.mu.Lock()
	m.twin.answers = answers
	m.twin.mu.Unlock()
	answers.accept(r, l)
	return nil
}

// unlisten ends what needs the link.
func (t *twinDesk) unlisten(answers *twinAnswers) {
	answers.close()
	t.mu.Lock()
	if t.answers != answers {
		t.mu.Unlock()
		return
	}
	desired := t.desired
	t.answers, t.desired = nil, nil
	t.mu.Unlock()
	if desired != nil {
		desired.Close()
	}
}

// close returns when no request is served any more.
func (t *twinDesk) close() { t.requests.close() }

// acceptTwinRequests accepts the link on which the client asks.
func (m *member) acceptTwinRequests(r *amqp10.LinkRequest, l *link) ending {
	m.twin.requests.width = 1
	return r.AcceptReceiver(amqp10.ReceiverConfig{
		ReceiverMode: settleFirst,
		Window:       twinWindow,
		OnDelivery: func(d *amqp10.Delivery) {
			m.twin.requests.push(struct{}{}, func() { m.serveTwin(l, d) })
		},
		OnClose: l.closed,
	})
}

// A twinRequest is what a client asks.
type twinRequest struct {
	operation string
	resource  string
	id        any // correlation id, which is given back as it is
	body      []byte
}

// serveTwin accepts a request that can be understood, asks the hub, and answers.
// What is not yet accepted takes up credit, so that not much can wait.
func (m *member) serveTwin(l *link, d *amqp10.Delivery) {
	if m.conn.life.Err() != nil {
		return
	}
	request, err := readTwinRequest(d)
	answers := m.twin.listener(l)
	if err == nil && answers == nil {
		err = iot.Errorf(iot.Invalid, "twin", m.id, "attach the link for the answers first")
	}
	if err != nil {
		d.Reject(refusal(err))
		return
	}
	d.Accept()
	answers.send(amqp10.Outgoing{Message: m.answerTwin(answers, request)})
	if _, bytes := answers.waiting(); bytes > 2*crowd {
		answers.link.close(notRead)
	}
}

var notRead = amqp10.Errorf(amqp10.ErrResourceLimit, "the client does not take what it is sent")

// listener finds the link for answers to the requests of another: that of the same
// identity, and of the same pair where both say of which pair they are.
func (t *twinDesk) listener(requests *link) *twinAnswers {
	t.mu.Lock()
	defer t.mu.Unlock()
	if a := t.answers; a != nil && (a.link.channel == requests.channel || a.link.channel == "" || requests.channel == "") {
		return a
	}
	return nil
}

func readTwinRequest(d *amqp10.Delivery) (r twinRequest, err error) {
	msg, err := d.Message()
	if err != nil {
		return r, undecodable(err)
	}
	if msg.Properties != nil {
		r.id = amqpmsg.CloneID(msg.Properties.CorrelationID)
		if r.id == nil {
			r.id = msg.Properties.MessageID
		}
	}
	if r.id == nil {
		return r, iot.Errorf(iot.Invalid, "twin", iot.Identity{}, "the request has no correlation id")
	}
	r.operation = strings.ToUpper(msg.Annotations.Text(operationKey))
	r.resource = strings.ToLower(msg.Annotations.Text(resourceKey))
	r.body, err = amqpmsg.Body(msg)
	return r, err
}

// answerTwin asks the hub, and makes the answer.
func (m *member) answerTwin(answers *twinAnswers, r twinRequest) *amqp10.Message {
	msg := &amqp10.Message{Properties: &amqp10.Properties{CorrelationID: r.id}}
	body, version, err := m.askTwin(answers, r)
	if err != nil {
		m.conn.head.log.Info("amqphead: twin request failed", "identity", m.id.String(), "operation", r.operation, "err", err)
		msg.Annotations.Set(statusKey, int32(iot.KindOf(err).HTTPStatus()))
		msg.SetData(twinError(err))
		return msg
	}
	msg.Annotations.Set(statusKey, int32(200))
	if version != 0 {
		msg.Annotations.Set(versionKey, version)
	}
	if msg.Data = [][]byte{}; len(body) > 0 { // SDKs of 2018 would parse an empty section
		msg.SetData(body)
	}
	return msg
}

func (m *member) askTwin(answers *twinAnswers, r twinRequest) (body []byte, version int64, err error) {
	if _, bytes := answers.waiting(); bytes > crowd {
		return nil, 0, iot.Errorf(iot.Throttled, "twin", m.id, "too many answers wait to be read")
	}
	switch {
	case r.operation == "GET":
		body, err = m.readTwin()
	case r.operation == "PATCH" && r.resource == reportedResource:
		version, err = m.patchTwin(r.body)
	case r.operation == "PUT" && r.resource == desiredNotifications:
		err = m.wantDesired(answers)
	case r.operation == "DELETE" && r.resource == desiredNotifications:
		m.unwantDesired()
	default:
		err = iot.Errorf(iot.Invalid, "twin", m.id, "%.20q of %.200q is no operation on a twin", r.operation, r.resource)
	}
	return body, version, err
}

func (m *member) readTwin() ([]byte, error) {
	ctx, cancel := m.conn.operate(m.conn.life)
	defer cancel()
	twin, err := m.hub.Twin(ctx)
	if err != nil {
		return nil, timely(ctx, "twin", m.id, err)
	}
	return twinDocument(twin), nil
}

func (m *member) patchTwin(patch []byte) (version int64, err error) {
	if !json.Valid(patch) {
		return 0, iot.Errorf(iot.Invalid, "twin.patch", m.id, "the patch is not JSON")
	}
	ctx, cancel := m.conn.operate(m.conn.life)
	defer cancel()
	version, err = m.hub.PatchReported(ctx, patch)
	return version, timely(ctx, "twin.patch", m.id, err)
}

// wantDesired subscribes the client to changes of its desired properties.
func (m *member) wantDesired(answers *twinAnswers) error {
	sub, err := m.hub.DesiredChanges(func(patch json.RawMessage) { m.desiredChanged(answers, patch) })
	if err != nil {
		return err
	}
	t := &m.twin
	t.mu.Lock()
	gone := t.answers != answers
	if !gone {
		t.desired = sub
	}
	t.mu.Unlock()
	if gone {
		sub.Close()
	}
	return nil
}

func (m *member) unwantDesired() {
	t := &m.twin
	t.mu.Lock()
	sub := t.desired
	t.desired = nil
	t.mu.Unlock()
	if sub != nil {
		sub.Close()
	}
}

// desiredChanged passes a patch on. Patches may not be left out, so a client that
// does not take them loses the link: it reads the whole twin when it is back.
func (m *member) desiredChanged(answers *twinAnswers, patch json.RawMessage) {
	if _, bytes := answers.waiting(); bytes > crowd {
		answers.link.close(notRead)
		return
	}
	var v struct {
		Version int64 `json:"$version"`
	}
	if err := json.Unmarshal(patch, &v); err != nil {
		m.conn.head.log.Error("amqphead: desired change is not JSON", "identity", m.id.String(), "err", err)
		return
	}
	msg := amqp10.NewMessage(patch)
	msg.Annotations.Set(operationKey, "PATCH")
	msg.Annotations.Set(resourceKey, desiredResource)
	msg.Annotations.Set(versionKey, v.Version)
	answers.send(amqp10.Outgoing{Message: msg})
}
