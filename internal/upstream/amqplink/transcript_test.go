package amqplink

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"sluice/amqp10"
	"sluice/internal/await"
	"sluice/internal/transcript"
	"sluice/iot"
)

// TestTheConversationIsThatOfAnSDK compares what a hub is asked, link by link and
// message by message, with what was read and found right.
func TestTheConversationIsThatOfAnSDK(t *testing.T) {
	for _, tt := range []struct {
		name   string
		client iot.Client
		creds  iot.Credentials
	}{
		{"behalf", iot.Client{Product: "sluice"}, creds(leaf)},
		{"own", iot.Client{Product: "sluice", ModelID: "dtmi:example:Pump;1"}, iot.Credentials{Identity: iot.DeviceIdentity("a#b%"), Token: "SharedAccessSignature of a"}},
		{"edgehub", iot.Client{Product: "sluice"}, iot.Credentials{Identity: iot.ModuleIdentity("edge", iot.EdgeHubModule), Token: "SharedAccessSignature of edge"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := startHub(t)
			h.request = answerTwin
			s, err := h.pool(nil).Connect(t.Context(), tt.creds, tt.client)
			if err != nil {
				t.Fatal(err)
			}
			converse(t, h, s)
			_ = s.Close()
			transcript.Compare(t, filepath.Join("testdata", tt.name+".txt"), strings.Join(h.transcript(), "\n")+"\n")
		})
	}
}

func converse(t *testing.T, h *fakeHub, s iot.Session) {
	t.Helper()
	one := iot.Message{Body: []byte("{}"), Properties: iot.Properties{{Key: "a&b", Value: "ü"}}}
	for _, v := range []iot.SystemValue{
		{Name: iot.MessageID, Value: "m"}, {Name: iot.CorrelationID, Value: "c"}, {Name: iot.UserID, Value: "u"}, {Name: iot.To, Value: "t"},
		{Name: iot.ContentType, Value: "application/json"}, {Name: iot.ContentEncoding, Value: "utf-8"},
		{Name: iot.ExpiryTime, Value: "2027-01-02T03:04:05Z"}, {Name: iot.CreationTime, Value: "2026-01-02T03:04:05Z"},
		{Name: iot.MessageSchema, Value: "s"}, {Name: iot.OutputName, Value: "o"}, {Name: iot.Operation, Value: "p"},
		{Name: iot.InterfaceID, Value: "i"}, {Name: iot.ComponentName, Value: "part"}, {Name: iot.ConnectionDeviceID, Value: "is not ours to say"},
	} {
		one.System.Set(v.Name, v.Value)
	}
	send(t, s, one)
	send(t, s, iot.Message{Body: []byte("1")}, iot.Message{Body: []byte("2"), Properties: one.Properties})
	if !s.Identity().IsModule() {
		command(t, h, s)
	}
	method(t, h, s)
	if _, err := s.Twin(t.Context()); err != nil {
		t.Error(err)
	}
	if v, err := s.PatchReported(t.Context(), json.RawMessage(`{"a":1}`)); err != nil || v != 7 {
		t.Errorf("version %d, %v", v, err)
	}
	changes, err := s.DesiredChanges(func(json.RawMessage) {})
	if err != nil {
		t.Fatal(err)
	}
	changes.Close()
	await.True(t, "the request to end changes", func() bool { return strings.Contains(strings.Join(h.transcript(), "\n"), "DELETE") })
	again := creds(s.Identity())
	again.Token = "SharedAccessSignature, a later one"
	if err := s.Renew(t.Context(), again); err != nil {
		t.Error(err)
	}
}

func send(t *testing.T, s iot.Session, batch ...iot.Message) {
	t.Helper()
	done := make(chan error, 1)
	s.Send(batch, func(err error) { done <- err })
	if err := await.Value(t, done, "done"); err != nil {
		t.Error(err)
	}
}

// linkTo is the hub's sending end of a link from one of its nodes.
func (h *fakeHub) linkTo(t *testing.T, node string) *amqp10.Sender {
	t.Helper()
	c := h.conn(0)
	c.mu.Lock()
	defer c.mu.Unlock()
	for address, s := range c.senders {
		if strings.HasSuffix(address, node) {
			return s
		}
	}
	t.Fatalf("there is no link from %s", node)
	return nil
}

func command(t *testing.T, h *fakeHub, s iot.Session) {
	t.Helper()
	got := make(chan iot.Delivery, 1)
	sub, err := s.Commands(func(d iot.Delivery) { got <- d })
	if err != nil {
		t.Fatal(err)
	}
	sub.Grant(1)
	msg := amqp10.NewMessage([]byte("do"))
	msg.Header = &amqp10.Header{DeliveryCount: 2}
	msg.Annotations.Set("x-opt-lock-token", amqp10.UUID{1, 2, 3})
	msg.Annotations.Set("iothub-deliverycount", uint32(2))
	msg.Annotations.Set("x-opt-sequence-number", int64(9))
	msg.ApplicationProperties.Set("iothub-ack", "full")
	o, err := deliverAndSettle(t, h.linkTo(t, "devicebound"), msg, func() {
		d := await.Value(t, got, "the command")
		if d.LockToken != "01020300-0000-0000-0000-000000000000" || d.Count != 2 || !d.Repeat ||
			d.Message.System.Get(iot.SequenceNumber) != "9" || d.Message.System.Get(iot.Ack) != "full" || string(d.Message.Body) != "do" {
			t.Errorf("delivery %+v", d)
		}
		if err := s.Settle(t.Context(), d.LockToken, iot.Complete); err != nil {
			t.Error(err)
		}
	})
	if err != nil || o.Kind != amqp10.KindAccepted {
		t.Errorf("the command ended as %v, %v", o.Kind, err)
	}
}

func deliverAndSettle(t *testing.T, l *amqp10.Sender, msg *amqp10.Message, settle func()) (amqp10.Outcome, error) {
	t.Helper()
	type result struct {
		o   amqp10.Outcome
		err error
	}
	done := make(chan result, 1)
	go func() {
		o, err := l.Deliver(t.Context(), amqp10.Outgoing{Message: msg})
		done <- result{o, err}
	}()
	settle()
	r := await.Value(t, done, "the outcome")
	return r.o, r.err
}

func method(t *testing.T, h *fakeHub, s iot.Session) {
	t.Helper()
	sub, err := s.Methods(func(c iot.MethodCall, reply func(iot.MethodResult)) {
		reply(iot.MethodResult{Status: 200, Payload: json.RawMessage(`"` + c.Name + `"`)})
	})
	if err != nil {
		t.Fatal(err)
	}
	msg := amqp10.NewMessage([]byte("{}"))
	msg.Properties = &amqp10.Properties{CorrelationID: amqp10.UUID{9}}
	msg.ApplicationProperties.Set("IoThub-methodname", "restart")
	if _, err := h.linkTo(t, "methods/devicebound").Deliver(t.Context(), amqp10.Outgoing{Message: msg}); err != nil {
		t.Fatal(err)
	}
	await.True(t, "the answer", func() bool { return strings.Contains(strings.Join(h.transcript(), "\n"), "IoThub-status") })
	sub.Close()
}

// answerTwin answers as a hub does.
func answerTwin(_ *fakeConn, d *amqp10.Delivery, back *amqp10.Sender) {
	in, _ := d.Message()
	if in.Annotations.Text(operationKey) == "" {
		return // the answer to a method call
	}
	out := amqp10.NewMessage(nil)
	out.Properties = &amqp10.Properties{CorrelationID: in.Properties.CorrelationID}
	out.Annotations.Set(statusKey, int32(200))
	switch in.Annotations.Text(operationKey) {
	case "GET":
		out.SetData([]byte(`{"desired":{"$version":1},"reported":{"$version":6}}`))
	case "PATCH":
		out.Annotations.Set(versionKey, int64(7))
	}
	_ = back.Send(amqp10.Outgoing{Message: out})
}
