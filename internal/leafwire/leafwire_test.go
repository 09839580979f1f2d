package leafwire

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"sluice/iot"
)

func TestZ10_LeafIDsThatMeanAnotherIdentity(t *testing.T) {
	for _, c := range []struct {
		id   string
		want error // nil: taken; any other: refused for this or for ValidateID's reason
	}{
		{"sensor-1", nil}, {"00:11:22:33:44:55", nil}, {"Sensor_1.b", nil}, {strings.Repeat("x", 128), nil},
		{"", iot.ErrIDEmpty}, {strings.Repeat("x", 129), iot.ErrIDLong},
		{"edge-1", ErrReserved}, {"EDGE-1", ErrReserved}, {"$edgeHub", ErrReserved}, {"$edgeAgent", ErrReserved},
		{"edge%2D1", ErrAmbiguous}, {"a%2Fb", ErrAmbiguous}, {"a+b", ErrAmbiguous}, {"a#", ErrAmbiguous}, {"a?b", ErrAmbiguous},
		{".", ErrAmbiguous}, {"..", ErrAmbiguous},
		{"edge-1/itm", errAny}, {"a/b", errAny}, {"../edge-1", errAny}, {"a b", errAny}, {"a\x00", errAny}, {"a\n", errAny},
		{"édge", errAny}, {"edge‐1", errAny}, {"\xff", ErrNotUTF8}, {"a\u200b", errAny}, {"ｅdge-1", errAny}, {"a&b", errAny}, {"a;b", errAny},
	} {
		err := ValidateLeaf(c.id, "edge-1")
		switch {
		case c.want == nil && err != nil:
			t.Errorf("%q is refused: %v", c.id, err)
		case c.want != nil && err == nil:
			t.Errorf("%q is taken", c.id)
		case c.want != errAny && !errors.Is(err, c.want):
			t.Errorf("%q: %v, want %v", c.id, err, c.want)
		}
	}
}

var errAny = errors.New("any error")

func TestPropertiesAreFoundInAnyCaseButNotTwice(t *testing.T) {
	m := iot.Message{Properties: iot.Properties{{Key: "leafdeviceid", Value: "a"}, {Key: "MODULEID", Value: "ptm"}}}
	if r, err := RouteOf(&m); err != nil || r != (Route{"a", "ptm"}) {
		t.Errorf("%v, %v", r, err)
	}
	m.Properties.Set("leafDeviceId", "b")
	if _, err := RouteOf(&m); err == nil {
		t.Error("two leaves in one message")
	}
	if _, err := RouteOf(&iot.Message{}); err == nil {
		t.Error("no leaf in a message")
	}
}

// The texts are those of the sample: its module's event, and its function's answer.
func TestTheSamplesOwnMessagesAreRead(t *testing.T) {
	e, err := ParseEvent([]byte(`{"hubHostname":"h.azure-devices.net","leafDeviceId":"leaf1","edgeDeviceId":"edge1","edgeModuleId":"IdentityTranslationLite","operation":"create"}`))
	want := Event{"h.azure-devices.net", "leaf1", "edge1", "IdentityTranslationLite", Create}
	if err != nil || e != want {
		t.Errorf("%+v, %v", e, err)
	}
	again, err := ParseEvent(e.Message().Body)
	if err != nil || again != want {
		t.Errorf("%+v, %v", again, err)
	}
	c, err := ParseCallback([]byte(`{"DeviceId":"leaf1","ResultCode":400,"ResultDescriptionn":"Device is not in WhiteList"}`))
	if err != nil || !c.Refused() || c.Succeeded() || c.Description != "Device is not in WhiteList" || c.DeviceID != "leaf1" {
		t.Errorf("%+v, %v", c, err)
	}
	c = Callback{DeviceID: "leaf1", ResultCode: 201, Description: "made", Operation: Create}
	if got, err := ParseCallback(c.Payload()); err != nil || got != c || !c.Succeeded() {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestEventsThatAreRefused(t *testing.T) {
	for _, body := range []string{
		``, `null`, `[]`, `{}`, `{"leafDeviceId":1}`,
		`{"leafDeviceId":"a/b","edgeDeviceId":"e","edgeModuleId":"m","operation":"create"}`,
		`{"leafDeviceId":"e","edgeDeviceId":"e","edgeModuleId":"m","operation":"delete"}`,
		`{"leafDeviceId":"a","edgeDeviceId":"e","edgeModuleId":"m"}`,
		`{"leafDeviceId":"a","edgeDeviceId":"e","edgeModuleId":"m","operation":"explode"}`,
		`{"leafDeviceId":"a","edgeDeviceId":"","edgeModuleId":"m","operation":"create"}`,
	} {
		if e, err := ParseEvent([]byte(body)); err == nil {
			t.Errorf("%s: %+v", body, e)
		}
	}
}

func TestEveryMessageIsReadAsItWasWritten(t *testing.T) {
	r := Route{Leaf: "leaf", Module: "ptm"}
	same := func(name string, m iot.Message, kind string, got, want any, err error) {
		t.Helper()
		found, _ := Type(&m)
		route, _ := RouteOf(&m)
		if err != nil || found != kind || route != r || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q of %v: %+v, %v; want %+v", name, found, route, got, err, want)
		}
	}
	hello := Hello{Methods: true, Commands: true}
	m := r.Hello(hello)
	h, err := ParseHello(m.Body)
	same("hello", m, TypeHello, h, hello, err)

	m = r.Reported(json.RawMessage(`{"a":1}`))
	patch, err := ParseReported(m.Body)
	same("reported", m, TypeReported, string(patch), `{"a":1}`, err)

	m = r.Gone(Delete)
	gone, err := ParseGone(m.Body)
	same("gone", m, TypeGone, gone, Delete, err)

	for _, answer := range []Response{
		{Correlation: "1", Status: 200, Payload: json.RawMessage(`{"x":[]}`)}, {Correlation: "2", Status: 404}, {Correlation: "3", Settle: iot.Reject},
	} {
		m = r.Response(answer)
		a, err := ParseResponse(&m)
		same("response", m, TypeResponse, a, answer, err)
	}

	call := Method{ID: "7", Name: "reboot", Timeout: 30 * time.Second, Payload: json.RawMessage(`{}`)}
	m = r.Method(call)
	c, err := ParseMethod(&m)
	same("method", m, TypeMethod, c, call, err)

	desired := Desired{Full: true, Patch: json.RawMessage(`{"$version":3}`)}
	m = r.Desired(desired)
	d, err := ParseDesired(&m)
	same("desired", m, TypeDesired, d, desired, err)

	m = r.State(Refused, "not on the list")
	s, reason, err := ParseState(&m)
	same("state", m, TypeState, []string{string(s), reason}, []string{"refused", "not on the list"}, err)
}

func TestACommandCannotChangeWhomItIsFor(t *testing.T) {
	c := iot.Message{Body: []byte("on"), Properties: iot.Properties{{Key: "LEAFDEVICEID", Value: "other"}, {Key: "color", Value: "red"}, {Key: "itmType", Value: "LeafState"}}}
	c.System.Set(iot.MessageID, "cloud-1")
	m := Route{"leaf", "ptm"}.Command("9", c)
	r, err := RouteOf(&m)
	kind, _ := Type(&m)
	color, _ := m.Properties.Get("color")
	if err != nil || r.Leaf != "leaf" || kind != TypeCommand || color != "red" {
		t.Errorf("%v %v %q %q", r, err, kind, color)
	}
	if m.System.Get(iot.MessageID) != "9" || m.System.Get(iot.CorrelationID) != "cloud-1" {
		t.Errorf("%v", m.System)
	}
}

func TestTelemetryNamesOneLeaf(t *testing.T) {
	m := Route{"leaf", "ptm"}.Telemetry(iot.Message{Properties: iot.Properties{{Key: "leafdeviceid", Value: "x"}, {Key: "a", Value: "b"}}})
	if r, err := RouteOf(&m); err != nil || r.Leaf != "leaf" {
		t.Errorf("%v, %v", r, err)
	}
	if kept := Strip(m.Properties); len(kept) != 1 || kept[0].Key != "a" {
		t.Errorf("%v", kept)
	}
}

func FuzzEvent(f *testing.F) {
	f.Add([]byte(`{"hubHostname":"h","leafDeviceId":"l","edgeDeviceId":"e","edgeModuleId":"m","operation":"create"}`))
	f.Add([]byte(`{"LeafDeviceID":"l","leafdeviceid":"..","operation":"DELETE"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := ParseEvent(body)
		if err != nil {
			return
		}
		if ValidateLeaf(e.LeafDeviceID, e.EdgeDeviceID) != nil {
			t.Fatalf("leaf %q", e.LeafDeviceID)
		}
		if again, err := ParseEvent(e.Message().Body); err != nil || again.LeafDeviceID != e.LeafDeviceID || again.Operation != e.Operation {
			t.Fatalf("%+v, %v after %+v", again, err, e)
		}
	})
}

func FuzzCallback(f *testing.F) {
	f.Add([]byte(`{"DeviceId":"leaf1","ResultCode":200,"ResultDescriptionn":"x"}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		c, err := ParseCallback(payload)
		if err != nil {
			return
		}
		if again, err := ParseCallback(c.Payload()); err != nil || again.DeviceID != c.DeviceID || again.ResultCode != c.ResultCode {
			t.Fatalf("%+v, %v after %+v", again, err, c)
		}
	})
}

func FuzzResponse(f *testing.F) {
	f.Add("1", "status", "200", []byte("{}"))
	f.Add("1", "settle", "complete", []byte(nil))
	f.Fuzz(func(t *testing.T, correlation, key, value string, body []byte) {
		m := iot.Message{Body: body, Properties: iot.Properties{{Key: key, Value: value}}}
		m.System.Set(iot.CorrelationID, correlation)
		a, err := ParseResponse(&m)
		if err != nil {
			return
		}
		m = Route{"l", "m"}.Response(a)
		if again, err := ParseResponse(&m); err != nil || !reflect.DeepEqual(a, again) {
			t.Fatalf("%+v, %v after %+v", again, err, a)
		}
	})
}
