package rest

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"sluice/internal/hub/storage"
	"sluice/internal/service"
	"sluice/iot"
)

// sender records commands.
type sender struct {
	Hub
	to   []iot.Identity
	sent []iot.Message
}

func (s *sender) SendCommand(to iot.Identity, m iot.Message) error {
	s.to, s.sent = append(s.to, to), append(s.sent, m)
	return s.Hub.SendCommand(to, m)
}

func TestACommandIsARequestOrAListOfThem(t *testing.T) {
	h := newHub(t)
	a := h.Handler.(*api)
	s := &sender{Hub: a.Hub}
	a.Hub = s
	var e storage.Entry
	e.Identity, e.Enabled = iot.DeviceIdentity("a+b"), true
	m := e
	m.Identity.Module = "m"
	if _, err := h.registry.Create(e, m); err != nil {
		t.Fatal(err)
	}
	send := func(body string, header http.Header) *httptest.ResponseRecorder {
		return h.request(t, "POST", "/messages/deviceBound", "service", header, body)
	}
	expiry := h.now.AddDate(0, 0, 1)
	w := send("open", http.Header{
		"Iothub-To": {"/devices/a%2Bb/messages/deviceBound"}, "Iothub-Messageid": {"7"}, "Iothub-App-Why": {"dark"},
		"Iothub-Ack": {"full"}, "Iothub-Expiry": {expiry.Format(http.TimeFormat)},
	})
	if w.Code != http.StatusNoContent {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	got := s.sent[0]
	why, _ := got.Properties.Get("why")
	if s.to[0] != e.Identity || string(got.Body) != "open" || got.System.Get(iot.MessageID) != "7" || why != "dark" ||
		got.System.Get(iot.Ack) != "full" || !got.Expiry().Equal(expiry) {
		t.Errorf("to %s: %+v", s.to[0], got)
	}

	list := http.Header{"Content-Type": {service.CommandType + "; charset=utf-8"}}
	w = send(`[{"body":"text","properties":{"iothub-to":"/devices/a%2Bb/modules/m/messages/devicebound","iothub-app-Why":"x","other":"y"}},`+
		`{"body":"AAE=","base64Encoded":true,"properties":{"IOTHUB-TO":"/devices/a%2Bb/messages/devicebound"}}]`, list)
	if w.Code != http.StatusNoContent || len(s.sent) != 3 {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	why, _ = s.sent[1].Properties.Get("Why")
	if s.to[1] != m.Identity || why != "x" || len(s.sent[1].Properties) != 1 || string(s.sent[2].Body) != "\x00\x01" {
		t.Errorf("to %s: %+v", s.to[1:], s.sent[1:])
	}

	for _, tt := range []struct {
		name, body string
		header     http.Header
		status     int
		code       string
	}{
		{"for nobody", "x", http.Header{"Iothub-To": {"/devices/nobody/messages/devicebound"}}, 404, "DeviceNotFound"},
		{"without whom it is for", "x", http.Header{}, 400, "ArgumentInvalid"},
		{"for a wrong path", "x", http.Header{"Iothub-To": {"/devices/a%2Bb"}}, 400, "ArgumentInvalid"},
		{"too large", strings.Repeat("x", 65<<10), http.Header{"Iothub-To": {"/devices/a%2Bb/messages/devicebound"}}, 413, "MessageTooLarge"},
		{"a wrong ack", "x", http.Header{"Iothub-To": {"/devices/a%2Bb/messages/devicebound"}, "Iothub-Ack": {"maybe"}}, 400, "ArgumentInvalid"},
		{"no text", "x", http.Header{"Iothub-To": {"/devices/a%2Bb/messages/devicebound"}, "Iothub-App-X": {"\xff"}}, 400, "ArgumentInvalid"},
		{"an empty list", "[]", list, 400, "ArgumentInvalid"},
		{"no list", "{}", list, 400, "IotHubFormatError"},
		{"no base64", `[{"body":"?","base64Encoded":true}]`, list, 400, "IotHubFormatError"},
		{"a property without a name", `[{"body":"","properties":{"iothub-app-":"x"}}]`, list, 400, "ArgumentInvalid"},
	} {
		if w := send(tt.body, tt.header.Clone()); w.Code != tt.status || w.Header().Get("Iothub-Errorcode") != tt.code {
			t.Errorf("%s: %d %s, want %d %s", tt.name, w.Code, w.Header().Get("Iothub-Errorcode"), tt.status, tt.code)
		}
	}
}
