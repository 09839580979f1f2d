package upstream

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/await"
	"sluice/iot"
)

var leafID = iot.DeviceIdentity("leaf")

func TestTelemetryIsWhatWasSentInOrder(t *testing.T) {
	eachProtocol(t, func(t *testing.T, p Protocol) {
		s := newSite(t, "leaf")
		session := s.connect(s.client(p, nil), leafID, nil)
		m := iot.Message{Body: []byte(`{"t":1}`), Properties: iot.Properties{{Key: "a&b", Value: "ü/?"}, {Key: "Case", Value: ""}}}
		for _, v := range []iot.SystemValue{
			{Name: iot.MessageID, Value: "id 1"}, {Name: iot.CorrelationID, Value: "c"}, {Name: iot.UserID, Value: "u"},
			{Name: iot.ContentType, Value: "application/json"}, {Name: iot.ContentEncoding, Value: "utf-8"},
			{Name: iot.CreationTime, Value: "2026-01-02T03:04:05.678Z"}, {Name: iot.MessageSchema, Value: "s"},
			{Name: iot.InterfaceID, Value: "i"}, {Name: iot.ComponentName, Value: "part"},
		} {
			m.System.Set(v.Name, v.Value)
		}
		done := make(chan error, 100)
		var want []string
		session.Send([]iot.Message{m}, func(err error) { done <- err })
		for i := range 50 {
			batch := []iot.Message{{Body: fmt.Appendf(nil, "%da", i)}, {}, {Body: fmt.Appendf(nil, "%db", i)}}
			session.Send(batch, func(err error) { done <- err })
			want = append(want, string(batch[0].Body), "", string(batch[2].Body))
		}
		for range 51 {
			if err := await.Value(t, done, "the acknowledgement"); err != nil {
				t.Fatal(err)
			}
		}
		got := s.events(leafID, 151)
		first := got[0].Message
		for _, v := range m.System {
			if first.System.Get(v.Name) != v.Value {
				t.Errorf("%v is %q, want %q", v.Name, first.System.Get(v.Name), v.Value)
			}
		}
		if !slices.Equal(first.Properties, m.Properties) || !bytes.Equal(first.Body, m.Body) || first.Sender() != leafID {
			t.Errorf("the hub has %+v", first)
		}
		var bodies []string
		for _, e := range got[1:] {
			bodies = append(bodies, string(e.Message.Body))
		}
		if !slices.Equal(bodies, want) {
			t.Errorf("the hub has %q, want %q", bodies, want)
		}
	})
}

func TestMessagesOfAnySizePass(t *testing.T) {
	eachProtocol(t, func(t *testing.T, p Protocol) {
		s := newSite(t, "leaf")
		session := s.connect(s.client(p, nil), leafID, nil)
		sizes := []int{0, 1, 200 << 10, 100 << 10, 256<<10 - 100, 3, 255 << 10}
		var batch []iot.Message
		for i, n := range sizes {
			batch = append(batch, iot.Message{Body: bytes.Repeat([]byte{byte('a' + i)}, n)})
		}
		done := make(chan error, 1)
		session.Send(batch, func(err error) { done <- err })
		if err := await.Value(t, done, "the acknowledgement"); err != nil {
			t.Fatal(err)
		}
		for i, e := range s.events(leafID, len(sizes)) {
			if !bytes.Equal(e.Message.Body, batch[i].Body) {
				t.Errorf("message %d has %d bytes, want %d", i, len(e.Message.Body), sizes[i])
			}
		}
	})
}

func TestCommandsComeAsGrantedAndEndAsSettled(t *testing.T) {
	eachProtocol(t, func(t *testing.T, p Protocol) {
		s := newSite(t, "leaf")
		session := s.connect(s.client(p, nil), leafID, nil)
		got := make(chan iot.Delivery, 10)
		sub, err := session.Commands(func(d iot.Delivery) { got <- d })
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			m := iot.Message{Body: fmt.Appendf(nil, "%d", i), Properties: iot.Properties{{Key: "p", Value: "ü"}}}
			m.System.Set(iot.MessageID, fmt.Sprintf("m%d", i))
			if err := s.hub().SendCommand(leafID, m); err != nil {
				t.Fatal(err)
			}
		}
		sub.Grant(2)
		for i := range 2 {
			d := await.Value(t, got, "a command")
			if string(d.Message.Body) != fmt.Sprint(i) || d.Message.System.Get(iot.MessageID) != fmt.Sprintf("m%d", i) {
				t.Errorf("command %+v", d)
			}
			if v, _ := d.Message.Properties.Get("p"); v != "ü" {
				t.Errorf("property %q", v)
			}
			if err := session.Settle(t.Context(), d.LockToken, iot.Complete); err != nil {
				t.Error(err)
			}
			if err := session.Settle(t.Context(), d.LockToken, iot.Complete); iot.KindOf(err) != iot.NotFound {
				t.Errorf("settled twice: %v", err)
			}
		}
		await.True(t, "the end of two commands", func() bool { return s.hub().CommandCount(leafID) == 1 })
		if len(got) != 0 {
			t.Error("more came than was granted")
		}
		sub.Grant(5)
		await.Value(t, got, "the third command")
		if n := sub.Revoke(); n != 4 {
			t.Errorf("revoked %d, want 4", n)
		}
		if err := s.hub().SendCommand(leafID, iot.Message{Body: []byte("late")}); err != nil {
			t.Fatal(err)
		}
		sub.Close()
		if err := session.Close(); err != nil || len(got) != 0 {
			t.Errorf("Close: %v, and %d commands after Revoke", err, len(got))
		}
		if n := s.hub().CommandCount(leafID); n != 2 {
			t.Errorf("the hub has %d commands, want the two that were not settled", n)
		}
	})
}

func TestAbandonedAndRejectedCommands(t *testing.T) {
	s := newSite(t, "leaf")
	session := s.connect(s.client(AMQP, nil), leafID, nil)
	got := make(chan iot.Delivery, 10)
	sub, err := session.Commands(func(d iot.Delivery) { got <- d })
	if err != nil {
		t.Fatal(err)
	}
	if err := s.hub().SendCommand(leafID, iot.Message{Body: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	sub.Grant(3)
	d := await.Value(t, got, "the command")
	if d.Count != 0 || d.Repeat {
		t.Errorf("first delivery %+v", d)
	}
	_ = session.Settle(t.Context(), d.LockToken, iot.Abandon)
	d = await.Value(t, got, "the command again")
	if d.Count != 1 || !d.Repeat {
		t.Errorf("second delivery %+v", d)
	}
	_ = session.Settle(t.Context(), d.LockToken, iot.Reject)
	await.True(t, "the end of the command", func() bool { return s.hub().CommandCount(leafID) == 0 })
}

func TestMethodsAreCalledAndAnswered(t *testing.T) {
	eachProtocol(t, func(t *testing.T, p Protocol) {
		s := newSite(t, "leaf")
		for _, id := range []iot.Identity{leafID, iot.ModuleIdentity(edgeDevice, iot.EdgeHubModule)} {
			session := s.connect(s.client(p, nil), id, nil)
			sub, err := session.Methods(func(c iot.MethodCall, reply func(iot.MethodResult)) {
				reply(iot.MethodResult{Status: 207, Payload: json.RawMessage(fmt.Sprintf(`[%q,%s]`, c.Name, c.Payload))})
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"restart", "get status/now ü"} {
				r, err := s.hub().InvokeMethod(t.Context(), id, iot.MethodCall{Name: name, Payload: json.RawMessage(`{"a":1}`)})
				if want := fmt.Sprintf(`[%q,{"a":1}]`, name); err != nil || r.Status != 207 || string(r.Payload) != want {
					t.Errorf("%s: %d %s, %v; want 207 %s", name, r.Status, r.Payload, err, want)
				}
			}
			sub.Close()
			await.True(t, "the end of listening", func() bool {
				_, err := s.hub().InvokeMethod(t.Context(), id, iot.MethodCall{Name: "x", ResponseTimeout: 5 * time.Second})
				return iot.KindOf(err) == iot.NotFound
			})
		}
	})
}

func TestTwinsAreReadPatchedAndFollowed(t *testing.T) {
	eachProtocol(t, func(t *testing.T, p Protocol) {
		s := newSite(t, "leaf")
		session := s.connect(s.client(p, nil), leafID, nil)
		if _, err := s.hub().PatchTwin(leafID, json.RawMessage(`{"properties":{"desired":{"a":{"b":1}}}}`), ""); err != nil {
			t.Fatal(err)
		}
		twin, err := session.Twin(t.Context())
		if err != nil || string(twin.Desired) != `{"a":{"b":1}}` || twin.DesiredVersion != 2 || string(twin.Reported) != "{}" {
			t.Fatalf("twin %+v, %v", twin, err)
		}
		version, err := session.PatchReported(t.Context(), json.RawMessage(`{"state":"on"}`))
		if err != nil || version != twin.ReportedVersion+1 {
			t.Errorf("version %d, %v", version, err)
		}
		if _, err := session.PatchReported(t.Context(), json.RawMessage(`[1]`)); iot.KindOf(err) != iot.Invalid {
			t.Errorf("a patch that is no object: %v", err)
		}
		changes := make(chan string, 10)
		sub, err := session.DesiredChanges(func(patch json.RawMessage) { changes <- string(patch) })
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.hub().PatchTwin(leafID, json.RawMessage(`{"properties":{"desired":{"a":null,"c":true}}}`), ""); err != nil {
			t.Fatal(err)
		}
		if got := await.Value(t, changes, "the change"); !strings.Contains(got, `"a":null`) || !strings.Contains(got, `"$version":3`) {
			t.Errorf("change %s", got)
		}
		sub.Close()
		if twin, err = session.Twin(t.Context()); err != nil || string(twin.Reported) != `{"state":"on"}` {
			t.Errorf("twin %+v, %v", twin, err)
		}
	})
}

func TestARenewedSessionOutlivesItsToken(t *testing.T) {
	eachProtocol(t, func(t *testing.T, p Protocol) {
		s := newSite(t, "leaf")
		ended := make(chan error, 1)
		h := s.client(p, nil)
		session, err := h.Connect(t.Context(), s.behalf(leafID, 3*time.Second), iot.Client{Ended: func(err error) { ended <- err }})
		if err != nil {
			t.Fatal(err)
		}
		defer session.Close()
		got := make(chan iot.Delivery, 10)
		sub, err := session.Commands(func(d iot.Delivery) { got <- d })
		if err != nil {
			t.Fatal(err)
		}
		sub.Grant(10)
		done := make(chan error, 10)
		session.Send(messages(1), func(err error) { done <- err })
		if err := session.Renew(t.Context(), s.behalf(leafID, time.Hour)); err != nil {
			t.Fatal(err)
		}
		if err := session.Renew(t.Context(), s.behalf(iot.DeviceIdentity("other"), time.Hour)); iot.KindOf(err) != iot.Invalid {
			t.Errorf("renewed as another: %v", err)
		}
		// Another identity, whose token is not renewed, says when that is over.
		over := make(chan error, 1)
		own := iot.ModuleIdentity(edgeDevice, iot.EdgeHubModule)
		witness, err := h.Connect(t.Context(), s.behalf(own, 2*time.Second), iot.Client{Ended: func(err error) { over <- err }})
		if err != nil {
			t.Fatal(err)
		}
		defer witness.Close()
		if err := await.Value(t, over, "the end of the other session"); err == nil {
			t.Error("a session ended for no reason")
		}
		session.Send(messages(1), func(err error) { done <- err })
		for range 2 {
			if err := await.Value(t, done, "the acknowledgement"); err != nil {
				t.Error(err)
			}
		}
		if err := s.hub().SendCommand(leafID, iot.Message{Body: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		d := await.Value(t, got, "a command after the renewal")
		if err := session.Settle(t.Context(), d.LockToken, iot.Complete); err != nil {
			t.Error(err)
		}
		if len(ended) != 0 {
			t.Errorf("the session ended: %v", <-ended)
		}
	})
}

func TestOneRefusedIdentityDoesNotDisturbOthers(t *testing.T) {
	eachProtocol(t, func(t *testing.T, p Protocol) {
		s := newSite(t, "a", "b", "c")
		h := s.client(p, nil)
		ended := make(chan error, 3)
		a := s.connect(h, iot.DeviceIdentity("a"), func(err error) { ended <- err })
		b := s.connect(h, iot.DeviceIdentity("b"), func(err error) { ended <- err })
		for _, creds := range []iot.Credentials{
			s.behalf(iot.DeviceIdentity("nobody"), time.Hour),
			s.behalf(iot.DeviceIdentity("c"), -time.Hour),
			{Identity: iot.DeviceIdentity("c"), Token: strings.Replace(s.behalf(iot.DeviceIdentity("c"), time.Hour).Token, "sig=", "sig=x", 1)},
		} {
			if _, err := h.Connect(t.Context(), creds, iot.Client{}); iot.KindOf(err) != iot.Unauthorized {
				t.Errorf("%v: %v, want Unauthorized", creds, err)
			}
		}
		done := make(chan error, 2)
		a.Send(messages(10), func(err error) { done <- err })
		b.Send(messages(10), func(err error) { done <- err })
		for range 2 {
			if err := await.Value(t, done, "the acknowledgement"); err != nil {
				t.Error(err)
			}
		}
		// One that is removed later loses its session, and nobody else does.
		if err := s.host.Registry().Delete(iot.DeviceIdentity("a"), ""); err != nil {
			t.Fatal(err)
		}
		if err := await.Value(t, ended, "the end of the removed identity's session"); iot.KindOf(err) != iot.Unauthorized && p == AMQP {
			t.Errorf("ended with %v", err)
		}
		b.Send(messages(10), func(err error) { done <- err })
		if err := await.Value(t, done, "the acknowledgement"); err != nil || len(ended) != 0 {
			t.Errorf("the other identity: %v, %d sessions ended", err, len(ended))
		}
	})
}

func TestALaterSessionEndsTheEarlier(t *testing.T) {
	s := newSite(t, "leaf")
	h := s.client(AMQP, nil)
	ended := make(chan error, 1)
	s.connect(h, leafID, func(err error) { ended <- err })
	later := s.connect(h, leafID, nil)
	if err := await.Value(t, ended, "the end of the earlier session"); !errors.Is(err, iot.ErrTakenOver) {
		t.Errorf("ended with %v", err)
	}
	done := make(chan error, 1)
	later.Send(messages(1), func(err error) { done <- err })
	if err := await.Value(t, done, "the acknowledgement"); err != nil {
		t.Error(err)
	}
}
