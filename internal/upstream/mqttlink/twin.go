package mqttlink

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"

	"sluice/internal/upstream/twinjson"
	"sluice/iot"
)

// requests are the twin requests that wait for their answers.
type requests struct {
	last    int
	waiting map[string]chan answer // by request id
}

type answer struct {
	status  int
	version string
	body    []byte
	err     error
}

// desired is an interest in desired properties.
type desired struct {
	*interest
	changed func(json.RawMessage)
}

// Twin asks for the twin.
func (s *session) Twin(ctx context.Context) (iot.Twin, error) {
	a, err := s.ask(ctx, "twin", "$iothub/twin/GET/?", []byte(" "))
	if err != nil {
		return iot.Twin{}, err
	}
	t, err := twinjson.Read(a.body)
	if err != nil {
		return iot.Twin{}, unreachable("twin", s.id, err)
	}
	return t, nil
}

// PatchReported has the hub merge a patch.
func (s *session) PatchReported(ctx context.Context, patch json.RawMessage) (int64, error) {
	a, err := s.ask(ctx, "twin.patch", "$iothub/twin/PATCH/properties/reported/?", patch)
	if err != nil {
		return 0, err
	}
	version, err := strconv.ParseInt(a.version, 10, 64)
	if err != nil {
		return 0, unreachable("twin.patch", s.id, err)
	}
	return version, nil
}

// ask publishes a request and waits for its answer.
func (s *session) ask(ctx context.Context, op, topic string, body []byte) (answer, error) {
	ctx, cancel := s.operate(ctx)
	defer cancel()
	if err := s.subscribe(ctx, op, twinAnswers); err != nil {
		return answer{}, err
	}
	rid, answers := s.expect()
	defer s.forgetRequest(rid)
	conn, err := s.now()
	if err != nil {
		return answer{}, err
	}
	if err := s.wait(ctx, op, conn.Publish(topic+"$rid="+rid, 0, false, body)); err != nil {
		return answer{}, err
	}
	select {
	case a := <-answers:
		return a, s.refusal(op, a)
	case <-s.ended:
		return answer{}, s.err()
	case <-ctx.Done():
		return answer{}, timely(op, s.id, ctx.Err())
	}
}

func (s *session) refusal(op string, a answer) error {
	switch {
	case a.err != nil:
		return a.err
	case a.status >= 200 && a.status < 300:
		return nil
	}
	return iot.Errorf(iot.KindFromHTTP(a.status), op, s.id, "the hub says %d: %.300s", a.status, a.body)
}

func (s *session) expect() (rid string, answers chan answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &s.requests
	if r.waiting == nil {
		r.waiting = make(map[string]chan answer)
	}
	r.last++
	rid, answers = strconv.Itoa(r.last), make(chan answer, 1)
	r.waiting[rid] = answers
	return rid, answers
}

func (s *session) forgetRequest(rid string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.requests.waiting, rid)
}

// answered takes an answer to whoever asked: {status}/?$rid={rid}&$version={v}.
func (s *session) answered(rest string, body []byte) {
	status, query, _ := strings.Cut(rest, "/?")
	a := answer{version: field(query, "$version"), body: append([]byte(nil), body...)}
	if a.status, a.err = strconv.Atoi(status); a.err != nil {
		a.err = unreachable("twin", s.id, a.err)
	}
	rid := field(query, "$rid")
	s.mu.Lock()
	answers := s.requests.waiting[rid]
	delete(s.requests.waiting, rid)
	s.mu.Unlock()
	if answers != nil {
		answers <- a
	}
}

// failRequests ends the requests whose answers were lost with a connection.
func (s *session) failRequests(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for rid, answers := range s.requests.waiting {
		answers <- answer{err: err}
		delete(s.requests.waiting, rid)
	}
}

// DesiredChanges subscribes to changes of the desired properties.
func (s *session) DesiredChanges(changed func(json.RawMessage)) (iot.Subscription, error) {
	ctx, cancel := s.operate(context.Background())
	defer cancel()
	d := &desired{interest: &interest{}, changed: changed}
	d.end = func() {
		if s.dropDesired(d) {
			s.unsubscribe(desiredChanges, func() bool { return s.desired != nil })
		}
	}
	s.mu.Lock()
	s.desired = d // before the answer: changes may come at once
	s.mu.Unlock()
	if err := s.subscribe(ctx, "desired", desiredChanges); err != nil {
		s.dropDesired(d)
		return nil, err
	}
	return d, nil
}

func (s *session) dropDesired(d *desired) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	current := s.desired == d
	if current {
		s.desired = nil
	}
	return current
}

func (s *session) desiredChanged(patch []byte) {
	s.mu.Lock()
	d := s.desired
	s.mu.Unlock()
	if d != nil {
		d.changed(json.RawMessage(append([]byte(nil), patch...)))
	}
}
