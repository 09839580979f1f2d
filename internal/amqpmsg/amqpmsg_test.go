package amqpmsg_test

import (
	"strings"
	"testing"
	"time"

	diff "github.com/google/go-cmp/cmp"

	"sluice/amqp10"
	"sluice/internal/amqpmsg"
	"sluice/iot"
)

// full has every system property, each with a value that it could have.
func full() *iot.Message {
	m := &iot.Message{Body: []byte(`{"t":21.5}`), Properties: iot.Properties{{Key: "alert", Value: "true"}, {Key: "größe", Value: ""}}}
	for n := iot.MessageID; n.String() != ""; n++ {
		m.System.Set(n, "v-"+n.String())
	}
	m.System.Set(iot.ExpiryTime, "2026-01-02T03:04:05.006Z")
	m.System.Set(iot.CreationTime, "2026-01-02T03:04:05Z")
	m.System.Set(iot.EnqueuedTime, "2026-01-02T03:04:05.678Z")
	m.System.Set(iot.SequenceNumber, "12345678901")
	return m
}

// sent is what in is after a journey over the wire.
func sent(t testing.TB, in *amqp10.Message) *amqp10.Message {
	t.Helper()
	b, err := in.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	out, err := amqp10.DecodeMessage(b)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Who reads a message gets what is for them: a hub what devices may say, a device
// also what only its hub knows.
func TestWhatEachAudienceIsTold(t *testing.T) {
	both := []iot.SystemName{iot.MessageID, iot.CorrelationID, iot.UserID, iot.To, iot.ExpiryTime, iot.Ack, iot.ContentType, iot.ContentEncoding,
		iot.OutputName, iot.MessageSchema, iot.CreationTime, iot.Operation, iot.InterfaceID, iot.ComponentName}
	hubs := append(both[:len(both):len(both)], iot.InputName, iot.EnqueuedTime, iot.SequenceNumber, iot.ConnectionDeviceID, iot.ConnectionModuleID)
	for name, tt := range map[string]struct {
		to   amqpmsg.Audience
		read func(*amqp10.Message, *iot.Message) error
		want []iot.SystemName
	}{
		"telemetry":                   {amqpmsg.Hub, amqpmsg.ReadTelemetry, both},
		"a command":                   {amqpmsg.Client, amqpmsg.ReadCommand, hubs},
		"a command, sent back":        {amqpmsg.Client, amqpmsg.ReadTelemetry, both},
		"an event, sent as a command": {amqpmsg.Application, amqpmsg.ReadTelemetry, without(both, iot.Ack)},
	} {
		var form amqpmsg.Form
		m := full()
		for range 2 { // the second on the remains of the first
			var got iot.Message
			if err := tt.read(sent(t, form.Fill(m, tt.to)), &got); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			want := map[iot.SystemName]string{}
			for _, n := range tt.want {
				want[n] = m.System.Get(n)
			}
			if d := diff.Diff(want, systemOf(&got)); d != "" {
				t.Errorf("%s: -want +got\n%s", name, d)
			}
			if d := diff.Diff(m.Properties, got.Properties); d != "" || string(got.Body) != string(m.Body) {
				t.Errorf("%s: body %q, properties\n%s", name, got.Body, d)
			}
		}
	}
}

func without(all []iot.SystemName, one iot.SystemName) (rest []iot.SystemName) {
	for _, n := range all {
		if n != one {
			rest = append(rest, n)
		}
	}
	return rest
}

func systemOf(m *iot.Message) map[iot.SystemName]string {
	all := map[iot.SystemName]string{}
	for _, v := range m.System {
		all[v.Name] = v.Value
	}
	return all
}

func TestEventsSayWhoSentThem(t *testing.T) {
	var form amqpmsg.Form
	m := full()
	out := sent(t, form.Fill(m, amqpmsg.Application))
	for key, name := range map[amqp10.Symbol]iot.SystemName{
		"iothub-connection-device-id": iot.ConnectionDeviceID, "iothub-connection-module-id": iot.ConnectionModuleID,
		"iothub-connection-auth-method": iot.ConnectionAuthMethod, "iothub-connection-auth-generation-id": iot.ConnectionDeviceGenerationID,
		"dt-dataschema": iot.ModelID, "dt-subject": iot.ComponentName,
	} {
		if v, _ := out.Annotations.Get(key); v != m.System.Get(name) {
			t.Errorf("%s is %v", key, v)
		}
	}
}

func TestAnnotationsHaveTheirTypes(t *testing.T) {
	var form amqpmsg.Form
	m := full()
	out := form.Fill(m, amqpmsg.Client)
	if v, _ := out.Annotations.Get("iothub-enqueuedtime"); !v.(time.Time).Equal(time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)) {
		t.Errorf("enqueued at %v", v)
	}
	if v, _ := out.Annotations.Get("x-opt-sequence-number"); v != int64(12345678901) {
		t.Errorf("sequence number %v", v)
	}
	m.System.Set(iot.EnqueuedTime, "yesterday")
	m.System.Set(iot.SequenceNumber, "many")
	for _, a := range form.Fill(m, amqpmsg.Client).Annotations {
		if a.Value == nil || a.Key == "iothub-enqueuedtime" || a.Key == "x-opt-sequence-number" {
			t.Errorf("%s is %v", a.Key, a.Value)
		}
	}
}

// A hub's message is not lost for a property that has no text.
func TestCommandsAreReadAsFarAsTheyCanBe(t *testing.T) {
	in := amqp10.NewMessage([]byte("x"))
	in.Properties = &amqp10.Properties{MessageID: amqp10.UUID{1}}
	in.Annotations.Set("dt-subject", amqp10.Decimal32{})
	in.ApplicationProperties.Set("decimal", amqp10.Decimal32{})
	in.ApplicationProperties.Set("n", int32(5))
	var got iot.Message
	if err := amqpmsg.ReadCommand(in, &got); err != nil {
		t.Fatal(err)
	}
	want := iot.Message{Body: []byte("x"), System: iot.System{{Name: iot.MessageID, Value: amqp10.UUID{1}.String()}}, Properties: iot.Properties{{Key: "n", Value: "5"}}}
	if d := diff.Diff(want, got); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	if iot.KindOf(amqpmsg.ReadTelemetry(in, new(iot.Message))) != iot.Invalid {
		t.Error("a device's was taken")
	}
}

func TestCorrelationIsTheSameInEveryForm(t *testing.T) {
	const text = "11111111-2222-4333-8444-5555555555Ff"
	id, err := amqp10.ParseUUID(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range []any{id, id[:], text, strings.ToUpper(text)} {
		if got := amqpmsg.Correlation(form); got != id.String() {
			t.Errorf("%T %v is %q", form, form, got)
		}
	}
	for want, form := range map[string]any{"x": "x", "5": uint64(5), "": nil} {
		if got := amqpmsg.Correlation(form); got != want {
			t.Errorf("%v is %q", form, got)
		}
	}
	if a := amqpmsg.NewUUID(); a[6]>>4 != 4 || a[8]>>6 != 2 || a == amqpmsg.NewUUID() {
		t.Errorf("%v is no random UUID", a)
	}
}

func TestIntegersOfEveryWidth(t *testing.T) {
	for _, v := range []any{int8(7), int16(7), int32(7), int64(7), uint8(7), uint16(7), uint32(7), uint64(7), "7", amqp10.Symbol("7")} {
		if n, ok := amqpmsg.Integer(v); n != 7 || !ok {
			t.Errorf("%T: %d, %v", v, n, ok)
		}
	}
	for _, v := range []any{nil, "", "x", uint64(1 << 63), 7.5, amqp10.Map{}} {
		if n, ok := amqpmsg.Integer(v); ok {
			t.Errorf("%v is %d", v, n)
		}
	}
}

// FuzzMessage is whatever a peer may send, read as both kinds of peer send it.
func FuzzMessage(f *testing.F) {
	var form amqpmsg.Form
	for _, to := range []amqpmsg.Audience{amqpmsg.Hub, amqpmsg.Client, amqpmsg.Application} {
		b, err := form.Fill(full(), to).AppendTo(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		in, err := amqp10.DecodeMessage(b)
		if err != nil {
			return
		}
		var command, telemetry iot.Message
		if err := amqpmsg.ReadCommand(in, &command); err == nil {
			checkAgain(t, &command, amqpmsg.Client, amqpmsg.ReadCommand)
		}
		switch err := amqpmsg.ReadTelemetry(in, &telemetry); {
		case err == nil:
			if !telemetry.Sender().IsZero() {
				t.Errorf("the client chose the sender %v", telemetry.Sender())
			}
			checkAgain(t, &telemetry, amqpmsg.Hub, amqpmsg.ReadTelemetry)
		case iot.KindOf(err) != iot.Invalid && iot.KindOf(err) != iot.TooLarge:
			t.Error(err)
		}
	})
}

// checkAgain writes what was read: body and properties come back the same.
func checkAgain(t *testing.T, m *iot.Message, to amqpmsg.Audience, read func(*amqp10.Message, *iot.Message) error) {
	var form amqpmsg.Form
	b, err := form.Fill(m, to).AppendTo(nil)
	if err != nil {
		return // a name of a megabyte, which a hub may have sent
	}
	in, err := amqp10.DecodeMessage(b)
	if err != nil {
		t.Fatal(err)
	}
	var again iot.Message
	if err := read(in, &again); err != nil {
		t.Fatalf("%v: %+v", err, m)
	}
	if d := diff.Diff(m.Properties, again.Properties); d != "" || string(m.Body) != string(again.Body) {
		t.Errorf("-sent +back\n%s", diff.Diff(*m, again))
	}
}

// telemetry is a message with ten properties.
func telemetry() *iot.Message {
	m := &iot.Message{Body: []byte(strings.Repeat("x", 200))}
	m.System.Set(iot.MessageID, "8e1c4d32-0000-4000-8000-000000000001")
	m.System.Set(iot.ContentType, "application/json")
	m.System.Set(iot.ContentEncoding, "utf-8")
	for _, k := range []string{"site", "line", "machine", "sensor", "unit", "quality", "batch", "operator", "shift", "alert"} {
		m.Properties.Set(k, "value of "+k)
	}
	return m
}

func BenchmarkFill(b *testing.B) {
	var form amqpmsg.Form
	m, buf := telemetry(), make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		out, err := form.Fill(m, amqpmsg.Hub).AppendTo(buf)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(out)))
	}
}

// BenchmarkRead is what a hub does with the bytes of a delivery.
func BenchmarkRead(b *testing.B) {
	var form amqpmsg.Form
	payload, err := form.Fill(telemetry(), amqpmsg.Hub).AppendTo(nil)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		in, err := amqp10.DecodeMessage(payload)
		if err != nil {
			b.Fatal(err)
		}
		if err := amqpmsg.ReadTelemetry(in, new(iot.Message)); err != nil {
			b.Fatal(err)
		}
	}
}
