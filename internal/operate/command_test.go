package operate

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sluice/iot"
)

func TestCommandsAreHandedThroughTheSocket(t *testing.T) {
	s := newSite(t)
	s.goAway()
	got := make(chan iot.Delivery, 10)
	sub, err := s.device.Commands(func(d iot.Delivery) { got <- d })
	if err != nil {
		t.Fatal(err)
	}
	sub.Grant(10)
	for outcome, want := range map[iot.Outcome]string{iot.Complete: "completed", iot.Reject: "rejected", iot.Abandon: "abandoned"} {
		seen := make(chan iot.Message, 1)
		go func() {
			d := <-got
			seen <- d.Message
			if err := s.device.Settle(t.Context(), d.LockToken, outcome); err != nil {
				t.Error(err)
			}
		}()
		m := iot.Message{Body: []byte{0, 'a'}, Properties: iot.Properties{{Key: "urgent", Value: "yes"}}, System: iot.System{{Name: iot.MessageID, Value: "m1"}}}
		is, err := s.client.Command(t.Context(), iot.DeviceIdentity("pump"), m, time.Minute)
		if err != nil || is != want {
			t.Errorf("%q, %v; want %q", is, err, want)
		}
		if d := <-seen; string(d.Body) != "\x00a" || d.System.Get(iot.MessageID) != "m1" || len(d.Properties) != 1 || d.Properties[0].Value != "yes" {
			t.Errorf("delivered %+v", d)
		}
	}
	for name, body := range map[string]string{
		"no time":             `{"timeout":0}`,
		"too much time":       `{"timeout":301}`,
		"an unknown property": `{"timeout":1,"systemProperties":{"nonsense":"x"}}`,
		"an unknown field":    `{"timeout":1,"body":"x"}`,
	} {
		w := httptest.NewRecorder()
		(&Desk{Gateway: s.gw.Gateway, Spool: s.gw.Spool}).Handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/command?id=pump", strings.NewReader(body)))
		if w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d %s, want 400", name, w.Code, w.Body)
		}
	}
}

func TestOverridesAreMadeThroughTheSocket(t *testing.T) {
	s := newSite(t)
	pump := iot.DeviceIdentity("pump")
	if _, err := s.device.Twin(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.goAway()
	for patch, want := range map[string]string{`{"interval":5}`: `{"interval":5}`, "": ""} {
		var p json.RawMessage
		if patch != "" {
			p = json.RawMessage(patch)
		}
		if err := s.client.Override(t.Context(), pump, p); err != nil {
			t.Fatal(err)
		}
		if v, err := s.client.Twin(t.Context(), pump); err != nil || string(v.Override) != want || string(v.Desired) != `{"interval":10}` {
			t.Errorf("%+v, %v; want the override %s", v, err, want)
		}
	}
	if err := s.client.Override(t.Context(), pump, json.RawMessage(`[]`)); iot.KindOf(err) != iot.Invalid {
		t.Errorf("a list: %v", err)
	}
}
