package mqttlink

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"sluice/internal/await"
	"sluice/internal/transcript"
	"sluice/iot"
	"sluice/mqtt"
)

var leaf = iot.DeviceIdentity("leaf")

func creds() iot.Credentials {
	return iot.Credentials{Identity: leaf, Token: "SharedAccessSignature …", AuthChain: "leaf;edge"}
}

// answerTwin answers as a hub does.
func answerTwin(c *fakeConn, p *mqtt.Publish) bool {
	_, rid, _ := strings.Cut(p.Topic, "$rid=")
	switch {
	case strings.HasPrefix(p.Topic, "$iothub/twin/GET/"):
		c.publish("$iothub/twin/res/200/?$rid="+rid, `{"desired":{"$version":1},"reported":{"a":1,"$version":6}}`, 0)
	case strings.HasPrefix(p.Topic, "$iothub/twin/PATCH/"):
		c.publish("$iothub/twin/res/204/?$rid="+rid+"&$version=7", "", 0)
	}
	return false
}

// TestTheConversationIsThatOfAnSDK compares what a hub is asked with what was read
// and found right.
func TestTheConversationIsThatOfAnSDK(t *testing.T) {
	h := startHub(t)
	h.answer = answerTwin
	s, err := h.connect(creds(), iot.Client{Product: "sluice"})
	if err != nil {
		t.Fatal(err)
	}
	m := iot.Message{Body: []byte("{}"), Properties: iot.Properties{{Key: "a&b", Value: "ü"}}}
	m.System.Set(iot.MessageID, "m")
	done := make(chan error, 1)
	s.Send([]iot.Message{m}, func(err error) { done <- err })
	if err := await.Value(t, done, "done"); err != nil {
		t.Error(err)
	}
	command(t, h.conn(0), s)
	method(t, h, s)
	if twin, err := s.Twin(t.Context()); err != nil || twin.ReportedVersion != 6 || string(twin.Reported) != `{"a":1}` {
		t.Errorf("twin %+v, %v", twin, err)
	}
	if v, err := s.PatchReported(t.Context(), json.RawMessage(`{"a":1}`)); err != nil || v != 7 {
		t.Errorf("version %d, %v", v, err)
	}
	if _, err := s.DesiredChanges(func(json.RawMessage) {}); err != nil {
		t.Error(err)
	}
	again := creds()
	again.Token = "SharedAccessSignature, a later one"
	if err := s.Renew(t.Context(), again); err != nil {
		t.Error(err)
	}
	_ = s.Close()
	transcript.Compare(t, "testdata/conversation.txt", strings.Join(h.transcript(), "\n")+"\n")
}

func command(t *testing.T, c *fakeConn, s iot.Session) {
	t.Helper()
	got := make(chan iot.Delivery, 1)
	sub, err := s.Commands(func(d iot.Delivery) { got <- d })
	if err != nil {
		t.Fatal(err)
	}
	sub.Grant(1)
	acked := c.publish("devices/leaf/messages/devicebound/%24.mid=m1&%24.to=%2Fdevices%2Fleaf&iothub-ack=full&p=%C3%BC", "do", 1)
	d := await.Value(t, got, "the command")
	if v, _ := d.Message.Properties.Get("p"); v != "ü" || d.Message.System.Get(iot.MessageID) != "m1" || d.Message.System.Get(iot.Ack) != "full" || string(d.Message.Body) != "do" {
		t.Errorf("delivery %+v", d)
	}
	if len(acked) != 0 {
		t.Error("acknowledged before it was settled")
	}
	if err := s.Settle(t.Context(), d.LockToken, iot.Complete); err != nil {
		t.Error(err)
	}
	if err := await.Value(t, acked, "the acknowledgement"); err != nil {
		t.Error(err)
	}
}

func method(t *testing.T, h *fakeHub, s iot.Session) {
	t.Helper()
	sub, err := s.Methods(func(c iot.MethodCall, reply func(iot.MethodResult)) {
		reply(iot.MethodResult{Status: 200, Payload: json.RawMessage(`["` + c.Name + `",` + string(c.Payload) + `]`)})
	})
	if err != nil {
		t.Fatal(err)
	}
	h.conn(0).publish("$iothub/methods/POST/restart%20now/?$rid=1f", "{}", 0)
	await.True(t, "the answer", func() bool { return strings.Contains(strings.Join(h.transcript(), "\n"), "methods/res") })
	sub.Close()
	await.True(t, "the end of listening", func() bool { return strings.Contains(strings.Join(h.transcript(), "\n"), "UNSUBSCRIBE") })
}

func TestWhatIsNotCompletedStaysUnacknowledged(t *testing.T) {
	h := startHub(t)
	s, err := h.connect(creds(), iot.Client{})
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan iot.Delivery, 3)
	sub, err := s.Commands(func(d iot.Delivery) { got <- d })
	if err != nil {
		t.Fatal(err)
	}
	sub.Grant(2)
	var acks []chan error
	for range 3 {
		acks = append(acks, h.conn(0).publish("devices/leaf/messages/devicebound/", "x", 1))
	}
	if err := s.Settle(t.Context(), await.Value(t, got, "a command").LockToken, iot.Abandon); err != nil {
		t.Error(err)
	}
	if err := s.Settle(t.Context(), await.Value(t, got, "a command").LockToken, iot.Reject); iot.KindOf(err) != iot.Invalid {
		t.Errorf("rejected: %v", err)
	}
	if n := sub.Revoke(); n != 0 || len(got) != 0 {
		t.Errorf("%d were granted still, %d came", n, len(got))
	}
	_ = s.Close()
	for i, acked := range acks {
		if err := await.Value(t, acked, "the end"); err == nil {
			t.Errorf("command %d was acknowledged", i)
		}
	}
}

func TestARefusedSubscriptionIsAnErrorAndNoMore(t *testing.T) {
	h := startHub(t)
	h.grant = func(string) mqtt.QoS { return mqtt.Refused }
	s, err := h.connect(creds(), iot.Client{Ended: func(err error) { t.Errorf("the session ended: %v", err) }})
	if err != nil {
		t.Fatal(err)
	}
	_, commands := s.Commands(func(iot.Delivery) {})
	_, methods := s.Methods(func(iot.MethodCall, func(iot.MethodResult)) {})
	_, desired := s.DesiredChanges(func(json.RawMessage) {})
	_, twin := s.Twin(t.Context())
	for _, err := range []error{commands, methods, desired, twin} {
		if iot.KindOf(err) != iot.Forbidden {
			t.Errorf("%v, want Forbidden", err)
		}
	}
	done := make(chan error, 1)
	s.Send([]iot.Message{{}}, func(err error) { done <- err })
	if err := await.Value(t, done, "done"); err != nil {
		t.Error(err)
	}
}

func TestATokenThatIsRefusedLeavesTheSessionAsItWas(t *testing.T) {
	h := startHub(t)
	h.login = func(c *mqtt.Connect) error {
		if string(c.Password) == "bad" {
			return &mqtt.ConnectError{Code: mqtt.CodeNotAuthorized, Err: errors.New("no")}
		}
		return nil
	}
	s, err := h.connect(creds(), iot.Client{Ended: func(err error) { t.Errorf("the session ended: %v", err) }})
	if err != nil {
		t.Fatal(err)
	}
	bad := creds()
	bad.Token = "bad"
	if err := s.Renew(t.Context(), bad); iot.KindOf(err) != iot.Unauthorized {
		t.Errorf("renewed: %v", err)
	}
	done := make(chan error, 1)
	s.Send([]iot.Message{{}}, func(err error) { done <- err })
	if err := await.Value(t, done, "done"); err != nil {
		t.Error(err)
	}
}

func TestTwinErrorsHaveTheirKind(t *testing.T) {
	for status, want := range map[string]iot.Kind{"400": iot.Invalid, "404": iot.NotFound, "429": iot.Throttled, "500": iot.Internal, "x": iot.Unavailable} {
		h := startHub(t)
		h.answer = func(c *fakeConn, p *mqtt.Publish) bool {
			_, rid, _ := strings.Cut(p.Topic, "$rid=")
			c.publish("$iothub/twin/res/"+status+"/?$rid="+rid, "why", 0)
			return false
		}
		s, err := h.connect(creds(), iot.Client{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Twin(t.Context()); err == nil || iot.KindOf(err) != want {
			t.Errorf("status %s: %v, want %v", status, err, want)
		}
	}
}

// Who comes again while the interest of before ends is heard: the one is not taken for
// the other.
func TestAnInterestThatEndsLeavesTheNextOne(t *testing.T) {
	h := startHub(t)
	h.answer = answerTwin
	s, err := h.connect(creds(), iot.Client{})
	if err != nil {
		t.Fatal(err)
	}
	listen := func() iot.Subscription {
		sub, err := s.Methods(func(iot.MethodCall, func(iot.MethodResult)) {})
		if err != nil {
			t.Fatal(err)
		}
		return sub
	}
	sub := listen()
	for range 200 {
		sub.Close() // which does not wait for the hub
		sub = listen()
	}
	for range 10 { // by the last answer the hub has been told all that it will be
		if _, err := s.Twin(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	last := ""
	for _, line := range h.transcript() {
		if strings.Contains(line, "$iothub/methods/POST/#") {
			last = line
		}
	}
	if !strings.HasPrefix(last, "SUBSCRIBE") {
		t.Errorf("the last that the hub heard is %q", last)
	}
}
