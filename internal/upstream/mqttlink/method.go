package mqttlink

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"

	"sluice/internal/topic"
	"sluice/iot"
)

// Methods subscribes to method calls.
func (s *session) Methods(invoke func(iot.MethodCall, func(iot.MethodResult))) (iot.Subscription, error) {
	ctx, cancel := s.operate(context.Background())
	defer cancel()
	i := &interest{}
	i.end = func() {
		if s.unlisten(i) {
			s.unsubscribe(methodCalls, func() bool { return s.calls != nil })
		}
	}
	s.mu.Lock()
	s.invoke, s.calls = invoke, i // before the answer: calls may come at once
	s.mu.Unlock()
	if err := s.subscribe(ctx, "methods", methodCalls); err != nil {
		s.unlisten(i)
		return nil, err
	}
	return i, nil
}

func (s *session) unlisten(i *interest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	current := s.calls == i
	if current {
		s.invoke, s.calls = nil, nil
	}
	return current
}

// called passes a call on: {name}/?$rid={rid}. How long the hub waits for the
// answer it does not say.
func (s *session) called(rest string, payload []byte) {
	name, query, ok := strings.Cut(rest, "/?")
	rid := field(query, "$rid")
	s.mu.Lock()
	invoke := s.invoke
	s.mu.Unlock()
	if !ok || rid == "" || invoke == nil {
		return
	}
	call := iot.MethodCall{Name: topic.Unescape(name)}
	if len(payload) > 0 {
		call.Payload = json.RawMessage(append([]byte(nil), payload...))
	}
	invoke(call, func(r iot.MethodResult) { s.reply(rid, r) })
}

func (s *session) reply(rid string, r iot.MethodResult) {
	payload := r.Payload
	if payload == nil {
		payload = json.RawMessage("null")
	}
	s.background(func(conn *connection) {
		conn.Publish("$iothub/methods/res/"+strconv.Itoa(r.Status)+"/?$rid="+rid, 0, false, []byte(payload))
	})
}

// field returns a value of a topic's query. Keys are as the hub writes them.
func field(query, key string) string {
	for pair := range strings.SplitSeq(query, "&") {
		if k, v, ok := strings.Cut(pair, "="); ok && topic.Unescape(k) == key {
			return v
		}
	}
	return ""
}
