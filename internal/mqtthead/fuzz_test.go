package mqtthead

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"sluice/internal/topic"
	"sluice/iot"
	"sluice/mqtt"
)

// fuzzIdentities are whom the fuzzers try topics as.
var fuzzIdentities = []iot.Identity{
	{Device: "dev1"}, {Device: "edge1", Module: "m1"}, {Device: "a%b#+", Module: "$m.?"}, {Device: "dev%31"},
}

func FuzzTopic(f *testing.F) {
	for _, s := range []string{
		"devices/dev1/messages/events/", "devices/dev1/messages/events/%24.mid=1&a=b/", "devices/edge1/modules/m1/messages/events/%24.on=o",
		"devices/dev%31/messages/events", "devices/a%25b%23%2B/modules/$m.%3F/messages/events/",
		"$iothub/twin/GET/?$rid=1", "$iothub/twin/PATCH/properties/reported/?$rid=a&$version=3", "$iothub/twin/GET/?x&%24rid=2/",
		"$iothub/methods/res/200/?$rid=1f", "$iothub/methods/res/99999999999/?$rid=1", "$iothub/methods/POST/#", "devices/dev1/messages/devicebound/#",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if !mqtt.ValidTopic(name) {
			return // the engine does not pass it on
		}
		for _, id := range fuzzIdentities {
			checkTopic(t, id, name)
		}
	})
}

// checkTopic checks what holds of every topic that is accepted.
func checkTopic(t *testing.T, id iot.Identity, name string) {
	if k, ok := parseFilter(id, name); ok && k >= kinds {
		t.Errorf("parseFilter(%v, %q) = %d, which is no kind", id, name, k)
	}
	op, err := parseTopic(id, name)
	if err != nil {
		if k := iot.KindOf(err); k != iot.Invalid && k != iot.Forbidden {
			t.Errorf("parseTopic(%v, %q): kind %v", id, name, k)
		}
		return
	}
	switch op.kind {
	case telemetry:
		levels := strings.Split(name, "/")
		if levels[0] != "devices" || topic.Unescape(levels[1]) != id.Device && levels[1] != id.Device {
			t.Errorf("parseTopic(%v, %q) takes another device's topic for its own", id, name)
		}
		if id.IsModule() != (levels[2] == "modules") {
			t.Errorf("parseTopic(%v, %q) confuses devices and modules", id, name)
		}
		if strings.ContainsRune(op.bag, '/') {
			t.Errorf("parseTopic(%v, %q): bag %q", id, name, op.bag)
		}
	case twinGet, twinPatch, methodAnswer:
		if op.rid == "" || !strings.Contains(name, "rid="+op.rid) {
			t.Errorf("parseTopic(%v, %q): request id %q", id, name, op.rid)
		}
	default:
		t.Errorf("parseTopic(%v, %q): kind %d", id, name, op.kind)
	}
}

// FuzzEvent sends property bags as telemetry, and what came of them to a module.
func FuzzEvent(f *testing.F) {
	for _, bag := range []string{
		"", "a=b", "%24.mid=1&%24.ct=application%2Fjson&a=%00%0D%0A", "%24.cdid=dev2&$.cmid=m&deviceId=x", "a&a=&=b", "&&", "%zz=%", "a=b=c&a=d",
		strings.Repeat("k=v&", topic.MaxProperties), "%24.on=out%2F1&%24.exp=x&iothub-operation=y", "x=$y&%24=1",
	} {
		f.Add(bag, []byte("body"))
	}
	sender, reader := iot.DeviceIdentity("dev1"), iot.ModuleIdentity("edge1", "m1")
	f.Fuzz(func(t *testing.T, bag string, body []byte) {
		m, err := event(sender, &mqtt.Message{Payload: body}, bag)
		if err != nil {
			return
		}
		if m.Sender() != (iot.Identity{}) {
			t.Fatalf("a bag %q names the sender %v", bag, m.Sender())
		}
		if !bytes.Equal(m.Body, body) {
			t.Fatalf("the body changed")
		}
		m.System.Set(iot.InputName, "in/1")
		at := deliveryTopic(reader, &m)
		if len(at) <= maxTopic && !mqtt.ValidTopic(at) {
			t.Fatalf("it would arrive on %q, which is no topic", at)
		}
		rest, ok := strings.CutPrefix(at, "devices/edge1/modules/m1/inputs/in%2F1/")
		if !ok || strings.ContainsRune(rest, '/') {
			t.Fatalf("it would arrive on %q", at)
		}
		var again iot.Message
		if err := topic.ParseBag(rest, &again); err != nil {
			t.Fatalf("it would arrive with the bag %q: %v", rest, err)
		}
		for _, p := range m.Properties {
			if v, ok := again.Properties.Get(p.Key); !ok || v != p.Value {
				t.Errorf("property %q = %q arrives as %q, %t", p.Key, p.Value, v, ok)
			}
		}
	})
}

func FuzzLogin(f *testing.F) {
	f.Add("dev1", "hub/dev1/?api-version=2021-04-12&DeviceClientType=a%2Fb")
	f.Add("dev1/m1", "hub/dev1/m1/api-version=2016-11-14/DeviceClientType=x")
	f.Add("leaf", "hub/leaf/?api-version=x&auth-chain=leaf%3Bedge&model-id=dtmi%3Aa%3B1&unknown=1")
	f.Add("dev1", "hub/dev1/m/api-version=x")
	f.Fuzz(func(t *testing.T, clientID, user string) {
		l, err := parseLogin(&mqtt.Connect{ClientID: clientID, Username: user, Password: []byte("token")})
		if err != nil {
			if code := err.(*mqtt.ConnectError).Code; code != mqtt.CodeIdentifierRejected && code != mqtt.CodeBadCredentials {
				t.Errorf("parseLogin(%q, %q): code %d", clientID, user, code)
			}
			return
		}
		if l.identity.String() != clientID || !strings.Contains(user, "/"+clientID+"/") || l.identity.Validate() != nil || l.apiVersion == "" {
			t.Errorf("parseLogin(%q, %q) = %+v", clientID, user, l)
		}
	})
}

func FuzzTwinDocument(f *testing.F) {
	f.Add([]byte(`{}`), []byte(` { "a" : {} } `))
	f.Add([]byte(`{"$metadata":{}}`), []byte("{\"b\":[1]\n}\n"))
	f.Fuzz(func(t *testing.T, desired, reported []byte) {
		if !isObject(desired) || !isObject(reported) {
			return
		}
		b := twinDocument(iot.Twin{Desired: desired, DesiredVersion: 7, Reported: reported, ReportedVersion: 1 << 60})
		var doc struct {
			Desired, Reported map[string]json.RawMessage
		}
		if err := json.Unmarshal(b, &doc); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		if string(doc.Desired["$version"]) != "7" || string(doc.Reported["$version"]) != "1152921504606846976" {
			t.Errorf("versions in %s", b)
		}
	})
}

func isObject(b []byte) bool {
	var object map[string]json.RawMessage
	return json.Unmarshal(b, &object) == nil && object != nil
}
