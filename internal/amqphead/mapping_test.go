package amqphead_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	diff "github.com/google/go-cmp/cmp"

	"sluice/amqp10"
	"sluice/internal/amqphead"
	"sluice/internal/iottest"
	"sluice/iot"
)

func TestAddressesOfLinks(t *testing.T) {
	for _, tt := range []struct{ address, id, node string }{
		{"/devices/d/messages/events", "d", "messages/events"},
		{"devices/d/messages/events/", "d", "messages/events"},
		{"amqps://hub.azure-devices.net/devices/d/messages/events", "d", "messages/events"},
		{"amqps://hub.azure-devices.net:5671/Devices/D/Messages/DeviceBound", "D", "messages/devicebound"},
		{"/devices/d/modules/m/messages/events", "d/m", "messages/events"},
		{"/devices/d/methods/deviceBound", "d", "methods/devicebound"},
		{"/devices/d/modules/$edgeAgent/twin", "d/$edgeAgent", "twin"},
		{"/devices/pump%2B7'(%231)/twin", "pump+7'(#1)", "twin"},
		{"/devices/a%252Fb/twin", "a%2Fb", "twin"},
		{"/devices/modules/twin", "modules", "twin"},
		{"/devices/d/modules/twin", "", ""},
		{"/devices/a%2Fb/twin", "", ""},
		{"/devices/%00/twin", "", ""},
		{"/devices/d", "", ""},
		{"/devices//twin", "", ""},
		{"/devices/d/modules//twin", "", ""},
		{"/devices/" + strings.Repeat("d", 129) + "/twin", "", ""},
		{"/messages/devicebound", "", ""},
		{"$cbs/x/y", "", ""},
		{"", "", ""},
		{"amqps://hub", "", ""},
	} {
		id, node, err := amqphead.ParseAddress(tt.address)
		if (err == nil) != (tt.id != "") {
			t.Errorf("%q: error %v", tt.address, err)
		}
		if err == nil && (id.String() != tt.id || node != tt.node) {
			t.Errorf("%q is %s of %s, want %s of %s", tt.address, node, id, tt.node, tt.id)
		}
	}
}

func FuzzAddress(f *testing.F) {
	f.Add("/devices/d/modules/m/messages/events")
	f.Add("amqps://h/Devices/a%2Bb/twin")
	f.Fuzz(func(t *testing.T, text string) {
		id, _, err := amqphead.ParseAddress(text)
		if err != nil {
			if kind := iot.KindOf(err); kind != iot.Invalid && kind != iot.NotFound {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if err := id.Validate(); err != nil {
			t.Errorf("%q gives %q: %v", text, id, err)
		}
	})
}

func TestUsersOfPlain(t *testing.T) {
	for user, want := range map[string]string{
		"dev1@sas.hub":                      "dev1",
		"dev1/m1@sas.hub.azure-devices.net": "dev1/m1",
		"a@sas.b@sas.hub":                   "a@sas.b",
		"iothubowner@sas.root.hub":          "",
		"dev1":                              "",
		"@sas.hub":                          "",
		"a/b/c@sas.hub":                     "",
	} {
		id, err := amqphead.ParseUser(user)
		if (err == nil) != (want != "") || err == nil && id.String() != want {
			t.Errorf("%q is %v, %v; want %q", user, id, err, want)
		}
	}
}

func encode(t testing.TB, m *amqp10.Message) []byte {
	t.Helper()
	b, err := m.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTelemetryMapping(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)
	id, err := amqp10.ParseUUID("11111111-2222-3333-4444-555555555555")
	if err != nil {
		t.Fatal(err)
	}
	m := amqp10.NewMessage([]byte("body"))
	m.Properties = &amqp10.Properties{MessageID: id, CorrelationID: uint64(7), UserID: []byte("me"), To: "there",
		ContentType: "application/json", ContentEncoding: "utf-8", AbsoluteExpiry: at, CreationTime: at}
	m.Annotations.Set("dt-subject", "thermostat")
	m.Annotations.Set("iothub-connection-device-id", "another")
	m.Annotations.Set("x-opt-unknown", amqp10.Map{})
	for _, p := range []amqp10.ApplicationProperty{
		{Key: "iothub-message-schema", Value: "s"}, {Key: "iothub-creation-time-utc", Value: "2026-01-02T03:04:05Z"},
		{Key: "iothub-operation", Value: "op"}, {Key: "iothub-outputname", Value: "out"},
		{Key: "iothub-connection-module-id", Value: "another"},
		{Key: "text", Value: "ü"}, {Key: "int", Value: int32(-5)}, {Key: "long", Value: int64(5)}, {Key: "ulong", Value: uint64(1<<64 - 1)},
		{Key: "byte", Value: int8(-1)}, {Key: "bool", Value: true}, {Key: "float", Value: float32(1.5)}, {Key: "double", Value: 0.1},
		{Key: "time", Value: at}, {Key: "uuid", Value: id}, {Key: "symbol", Value: amqp10.Symbol("s")}, {Key: "char", Value: amqp10.Char('x')},
		{Key: "null", Value: nil},
	} {
		m.ApplicationProperties = append(m.ApplicationProperties, p)
	}
	got, err := amqphead.ReadBatch(encode(t, m), 0)
	if err != nil {
		t.Fatal(err)
	}
	want := `body $messageId="11111111-2222-3333-4444-555555555555" $cid="7" $userId="me" $to="there" ` +
		`$contentType="application/json" $contentEncoding="utf-8" $absolute-expiry-time="2026-01-02T03:04:05.006Z" ` +
		`$creationTime="2026-01-02T03:04:05Z" $dt-subject="thermostat" $messageSchema="s" $operation="op" $outputName="out" ` +
		`text="ü" int="-5" long="5" ulong="18446744073709551615" byte="-1" bool="true" float="1.5" double="0.1" ` +
		`time="2026-01-02T03:04:05.006Z" uuid="11111111-2222-3333-4444-555555555555" symbol="s" char="x" null=""`
	if d := diff.Diff(strings.Fields(want), strings.Fields(iottest.Message(&got[0]))); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}

func TestBodiesOfTelemetry(t *testing.T) {
	for name, tt := range map[string]struct {
		m    amqp10.Message
		want string
	}{
		"data":           {amqp10.Message{Data: [][]byte{[]byte("x")}}, "x"},
		"data in pieces": {amqp10.Message{Data: [][]byte{[]byte("x"), nil, []byte("yz")}}, "xyz"},
		"no data":        {amqp10.Message{Data: [][]byte{nil}}, ""},
		"text":           {amqp10.Message{Value: "ü"}, "ü"},
		"binary":         {amqp10.Message{Value: []byte{1, 2}}, "\x01\x02"},
		"null":           {amqp10.Message{}, ""},
	} {
		batch, err := amqphead.ReadBatch(encode(t, &tt.m), 0)
		if err != nil || string(batch[0].Body) != tt.want {
			t.Errorf("%s: %+v, %v; want %q", name, batch, err, tt.want)
		}
	}
}

func TestA15_BatchWithOneBrokenMessage(t *testing.T) {
	good := encode(t, amqp10.NewMessage([]byte("x")))
	for name, bad := range map[string][]byte{
		"no message": {0, 1, 2}, "cut short": good[:len(good)-1],
		"property of a map": encode(t, &amqp10.Message{ApplicationProperties: amqp10.ApplicationProperties{{Key: "k", Value: amqp10.Decimal32{}}}}),
		"body of a number":  encode(t, &amqp10.Message{Value: int32(5)}),
		"body of sequences": encode(t, &amqp10.Message{Sequence: [][]any{{"x"}}}),
		"no name":           encode(t, &amqp10.Message{ApplicationProperties: amqp10.ApplicationProperties{{Key: "", Value: "x"}}}),
		"too large":         encode(t, amqp10.NewMessage(make([]byte, iot.MaxMessageSize+1))),
	} {
		payload := amqp10.AppendBatch(amqp10.AppendBatch(nil, good), bad)
		batch, err := amqphead.ReadBatch(payload, amqp10.FormatBatch)
		kind := iot.KindOf(err)
		if err == nil || batch != nil || kind != iot.Invalid && kind != iot.TooLarge {
			t.Errorf("%s: %d messages, %v", name, len(batch), err)
		}
	}
}

func FuzzTelemetry(f *testing.F) {
	m := messageOf([]string{"body", "$id=1", "$ct=application/json", "@dt-subject=x", "k=v", "#n=5"})
	one, err := m.AppendTo(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(one, false)
	f.Add(amqp10.AppendBatch(amqp10.AppendBatch(nil, one), one), true)
	f.Fuzz(func(t *testing.T, payload []byte, batch bool) {
		format := uint32(0)
		if batch {
			format = amqp10.FormatBatch
		}
		all, err := amqphead.ReadBatch(payload, format)
		if err != nil {
			if kind := iot.KindOf(err); kind != iot.Invalid && kind != iot.TooLarge {
				t.Fatal(err)
			}
			return
		}
		for i := range all {
			checkMessage(t, &all[i])
		}
	})
}

// checkMessage finds what no hub should get, and sends the message back to a
// client.
func checkMessage(t *testing.T, m *iot.Message) {
	t.Helper()
	if m.Size() > iot.MaxMessageSize {
		t.Errorf("message of %d bytes", m.Size())
	}
	if !m.Sender().IsZero() {
		t.Errorf("the client chose the sender %v", m.Sender())
	}
	stored, err := m.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	var back iot.Message
	if err := back.UnmarshalBinary(stored); err != nil {
		t.Fatal(err)
	}
	out := amqphead.WriteDelivery(&iot.Delivery{Message: *m, LockToken: "lock"})
	again, err := amqphead.ReadBatch(encode(t, out), 0)
	if err != nil {
		t.Fatalf("%v: %+v", err, m)
	}
	if string(again[0].Body) != string(m.Body) || diff.Diff(m.Properties, again[0].Properties) != "" {
		t.Errorf("-sent +back\n%s", diff.Diff(*m, again[0]))
	}
}

// Every kind has a condition, and clients are told no more than they may know.
func TestConditionOfEveryKind(t *testing.T) {
	want := map[iot.Kind]string{
		iot.Internal:           "amqp:internal-error internal error",
		iot.Invalid:            "com.microsoft:argument-error because",
		iot.Unauthorized:       "amqp:unauthorized-access unauthorized",
		iot.Forbidden:          "amqp:unauthorized-access because",
		iot.NotFound:           "amqp:not-found because",
		iot.Conflict:           "amqp:link:stolen because",
		iot.PreconditionFailed: "com.microsoft:precondition-failed because",
		iot.TooLarge:           "amqp:link:message-size-exceeded because",
		iot.Throttled:          "com.microsoft:device-container-throttled because",
		iot.Unavailable:        "com.microsoft:timeout unavailable",
		iot.Timeout:            "com.microsoft:timeout timeout",
	}
	for kind := iot.Internal; kind <= iot.Timeout; kind++ {
		cause := iot.Errorf(kind, "test", iot.Identity{}, "because")
		e := amqphead.Refusal(cause)
		if got := string(e.Condition) + " " + e.Description; got != want[kind] {
			t.Errorf("%v: %q, want %q", kind, got, want[kind])
		}
		if !errors.Is(e, cause) {
			t.Errorf("%v: the cause is lost to the log", kind)
		}
	}
	if e := amqphead.Refusal(errors.New("secret")); e.Condition != amqp10.ErrInternal || e.Description != "internal error" {
		t.Errorf("an error without a kind is %v %q", e.Condition, e.Description)
	}
}

func TestDeliveryTagHas16Bytes(t *testing.T) {
	seen := map[string]bool{}
	for i, token := range []string{"11111111-2222-4333-8444-555555555555", "short", "short", ""} {
		tag := amqphead.DeliveryTag(token, uint64(i))
		if len(tag) != 16 || seen[string(tag)] {
			t.Errorf("tag %x of %q", tag, token)
		}
		seen[string(tag)] = true
	}
}
