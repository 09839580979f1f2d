package amqp10

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// fullMessage has every section but the body.
func fullMessage() *Message {
	at := time.UnixMilli(1_700_000_000_123).UTC()
	return &Message{
		Header:              &Header{Durable: true, Priority: 9, TTL: time.Minute, FirstAcquirer: true, DeliveryCount: 3},
		DeliveryAnnotations: Fields{{Key: "x-d", Value: int64(1)}},
		Annotations:         Fields{{Key: "x-opt-sequence-number", Value: int64(1 << 40)}, {Key: "x-opt-enqueued-time", Value: at}},
		Properties: &Properties{MessageID: "id", UserID: []byte("user"), To: "to", Subject: "subject", ReplyTo: "reply",
			CorrelationID: uint64(7), ContentType: "application/json", ContentEncoding: "utf-8", AbsoluteExpiry: at, CreationTime: at,
			GroupID: "g", GroupSequence: 1, ReplyToGroupID: "rg"},
		ApplicationProperties: ApplicationProperties{{Key: "s", Value: "v"}, {Key: "f", Value: 1.5}, {Key: "u", Value: UUID{1}}},
		Footer:                Fields{{Key: "crc", Value: uint32(1)}},
	}
}

func TestMessagesOfEverySectionAndBody(t *testing.T) {
	for name, set := range map[string]func(*Message){
		"data":       func(m *Message) { m.SetData([]byte("hello")) },
		"empty data": func(m *Message) { m.SetData([]byte{}) },
		"two data":   func(m *Message) { m.Data = [][]byte{[]byte("a"), []byte("b")} },
		"sequences":  func(m *Message) { m.Sequence = [][]any{{int64(1), "x"}, {}} },
		"value":      func(m *Message) { m.Value = Map{{Key: "k", Value: []any{true, nil}}} },
		"null":       func(m *Message) {},
		"described": func(m *Message) {
			m.Value = Described{Descriptor: Symbol("x:y"), Value: Array{Code: 0x70, Elems: []any{uint32(1)}}}
		},
		"nothing else":  func(m *Message) { *m = *NewMessage([]byte("x")) },
		"uuid id":       func(m *Message) { m.Properties.MessageID = UUID{9} },
		"binary id":     func(m *Message) { m.Properties.MessageID = []byte{9} },
		"no properties": func(m *Message) { m.Properties, m.Header = nil, nil },
	} {
		t.Run(name, func(t *testing.T) {
			m := fullMessage()
			set(m)
			b, err := m.AppendTo(nil)
			if err != nil {
				t.Fatal(err)
			}
			got, err := DecodeMessage(b)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(m, got, cmpopts.IgnoreUnexported(Message{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAMessageWithoutABody(t *testing.T) {
	b, err := (&Message{Properties: &Properties{To: "x"}, Data: [][]byte{}}).AppendTo(nil)
	if err != nil || bytes.Contains(b, []byte{0x00, 0x53, 0x75}) || bytes.Contains(b, []byte{0x00, 0x53, 0x77}) {
		t.Errorf("% x, %v", b, err)
	}
	if m, err := DecodeMessage(b); err != nil || m.Properties.To != "x" || m.Data != nil || m.Value != nil {
		t.Errorf("%+v, %v", m, err)
	}
}

// The amqp10 library for Node, which Azure's SDKs of 2018 stand on, sends this.
func TestPropertiesMayStandBeforeAnnotations(t *testing.T) {
	m, err := DecodeMessage([]byte("\x00\x53\x73\xc0\x09\x06\x40\x40\x40\x40\x40\xa1\x01r" + // correlation id
		"\x00\x53\x72\xc1\x11\x02\xa3\x09operation\xa1\x03GET" +
		"\x00\x53\x75\xa0\x01 "))
	if err != nil || m.Properties.CorrelationID != "r" || m.Annotations.Text("operation") != "GET" || string(m.Data[0]) != " " {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestBrokenMessagesAreDecodeErrors(t *testing.T) {
	for name, b := range map[string][]byte{
		"not described":     {0x40},
		"unknown section":   {0x00, 0x53, 0x7f, 0x45},
		"body before head":  {0x00, 0x53, 0x75, 0xa0, 0x00, 0x00, 0x53, 0x70, 0x45},
		"two headers":       {0x00, 0x53, 0x70, 0x45, 0x00, 0x53, 0x70, 0x45},
		"data and value":    {0x00, 0x53, 0x75, 0xa0, 0x00, 0x00, 0x53, 0x77, 0x40},
		"two values":        {0x00, 0x53, 0x77, 0x40, 0x00, 0x53, 0x77, 0x40},
		"data of a string":  {0x00, 0x53, 0x75, 0xa1, 0x00},
		"id of wrong type":  {0x00, 0x53, 0x73, 0xc0, 0x02, 0x01, 0x41},
		"cut short":         {0x00, 0x53, 0x75, 0xa0, 0x05, 0x61},
		"properties a map":  {0x00, 0x53, 0x73, 0xc1, 0x01, 0x00},
		"ulong annotation":  {0x00, 0x53, 0x72, 0xc1, 0x03, 0x02, 0x44, 0x40},
		"properties of int": {0x00, 0x53, 0x74, 0xc1, 0x04, 0x02, 0x54, 0x01, 0x40},
	} {
		if _, err := DecodeMessage(b); !errors.Is(err, &Error{Condition: ErrDecode}) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestA15_ABrokenInnerMessageBreaksTheBatch(t *testing.T) {
	var inner, batch []byte
	for i := range 3 {
		var err error
		if inner, err = NewMessage(fmt.Append(nil, i)).AppendTo(inner[:0]); err != nil {
			t.Fatal(err)
		}
		batch = AppendBatch(batch, inner)
	}
	messages, err := DecodeBatch(batch, 3)
	if err != nil || len(messages) != 3 || string(messages[2].Data[0]) != "2" {
		t.Fatalf("batch of 3: %v, %v", messages, err)
	}
	if _, err := DecodeBatch(batch, 2); !errors.Is(err, &Error{Condition: ErrResourceLimit}) {
		t.Errorf("limit 2: %v", err)
	}
	broken := AppendBatch(batch[:len(batch):len(batch)], []byte{0x00, 0x53, 0x75, 0xa0, 0xff})
	if got, err := DecodeBatch(broken, 10); !errors.Is(err, &Error{Condition: ErrDecode}) || got != nil {
		t.Errorf("broken inner message: %v, %v", got, err)
	}
	value, err := (&Message{Value: "x"}).AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := DecodeBatch(value, 10); !errors.Is(err, &Error{Condition: ErrDecode}) {
		t.Errorf("batch without data: %v", err)
	}
}

// telemetry is a message as a device SDK sends it, with ten properties.
func telemetry() *Message {
	m := NewMessage([]byte(`{"temperature":21.5,"humidity":40.25,"machine":{"temperature":78.1,"pressure":7.2}}`))
	m.Properties = &Properties{MessageID: "5b2b7c1e-0c3a-4a8f-9a53-1f6f2a1f9c11", CorrelationID: "c-17", ContentType: "application/json", ContentEncoding: "utf-8"}
	m.Annotations = Fields{{Key: "iothub-connection-device-id", Value: "press-7"}}
	for i := range 10 {
		m.ApplicationProperties = append(m.ApplicationProperties, ApplicationProperty{Key: fmt.Sprintf("property-%d", i), Value: fmt.Sprintf("value-%d", i)})
	}
	return m
}

// TestTelemetryAllocatesOnlyWhatTheCallerGets pins the allocations of the hot
// path: encoding none; decoding the message with its sections, their text, the
// annotations, the application properties, and one box for all values.
func TestTelemetryAllocatesOnlyWhatTheCallerGets(t *testing.T) {
	m := telemetry()
	buf, err := m.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { buf, _ = m.AppendTo(buf[:0]) }); n != 0 {
		t.Errorf("encoding allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, func() { _, err = DecodeMessage(buf) }); n > 5 {
		t.Errorf("decoding allocates %v times", n)
	}
}

func BenchmarkEncodeTelemetry(b *testing.B) {
	m := telemetry()
	buf, _ := m.AppendTo(nil)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = m.AppendTo(buf[:0])
	}
}

func BenchmarkDecodeTelemetry(b *testing.B) {
	buf, _ := telemetry().AppendTo(nil)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeMessage(buf); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzMessage_A16(f *testing.F) {
	b, _ := fullMessage().AppendTo(nil)
	f.Add(b)
	b, _ = telemetry().AppendTo(nil)
	f.Add(b)
	f.Add(AppendBatch(nil, b))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := DecodeMessage(b)
		if err != nil {
			return
		}
		if _, err := DecodeBatch(b, 100); err != nil && !errors.As(err, new(*Error)) {
			t.Fatalf("batch: %v", err)
		}
		once, err := m.AppendTo(nil)
		if err != nil {
			t.Fatalf("decoded message does not encode: %v", err)
		}
		m, err = DecodeMessage(once)
		if err != nil {
			t.Fatalf("encoded message does not decode: %v", err)
		}
		if twice, err := m.AppendTo(nil); err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("encodes to %x and then to %x (%v)", once, twice, err)
		}
	})
}
