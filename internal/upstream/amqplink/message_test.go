package amqplink

import (
	"bytes"
	"strings"
	"testing"

	"sluice/amqp10"
	"sluice/internal/amqpmsg"
	"sluice/iot"
)

func TestABatchIsCutWhereItIsTooLarge(t *testing.T) {
	size := func(n int) iot.Message { return iot.Message{Body: make([]byte, n)} }
	for name, tt := range map[string]struct {
		batch []iot.Message
		want  []uint32 // formats of the deliveries
	}{
		"none":             {nil, nil},
		"one":              {[]iot.Message{size(1)}, []uint32{0}},
		"two":              {[]iot.Message{size(1), size(0)}, []uint32{amqp10.FormatBatch}},
		"two that fill it": {[]iot.Message{size(200 << 10), size(100 << 10)}, []uint32{amqp10.FormatBatch, amqp10.FormatBatch}},
		"one too large":    {[]iot.Message{size(1), size(256 << 10), size(1)}, []uint32{amqp10.FormatBatch, 0, amqp10.FormatBatch}},
	} {
		b := &batch{}
		parts, err := encode(tt.batch, b, maxDelivery)
		if err != nil || b.parts != len(tt.want) || len(parts) != len(tt.want) {
			t.Errorf("%s: %d parts, %v", name, len(parts), err)
			continue
		}
		n := 0
		for i, p := range parts {
			if p.format != tt.want[i] {
				t.Errorf("%s: part %d has format %x", name, i, p.format)
			}
			n += messagesIn(t, p)
		}
		if n != len(tt.batch) {
			t.Errorf("%s: %d messages", name, n)
		}
	}
}

func messagesIn(t *testing.T, p part) int {
	t.Helper()
	if p.format == 0 {
		return 1
	}
	if len(p.payload) > maxDelivery {
		t.Errorf("a batch of %d bytes", len(p.payload))
	}
	all, err := amqp10.DecodeBatch(p.payload, 100)
	if err != nil {
		t.Error(err)
	}
	return len(all)
}

// FuzzCommand is whatever a hub may send a device.
func FuzzCommand(f *testing.F) {
	msg := amqp10.NewMessage([]byte("body"))
	msg.Header = &amqp10.Header{DeliveryCount: 1}
	msg.Properties = &amqp10.Properties{MessageID: "m", CorrelationID: amqp10.UUID{1}}
	msg.Annotations.Set("x-opt-lock-token", amqp10.UUID{2})
	msg.Annotations.Set("iothub-deliverycount", "x")
	msg.ApplicationProperties.Set("a", int32(-1))
	encoded, err := msg.AppendTo(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(encoded)
	f.Fuzz(func(t *testing.T, encoded []byte) {
		in, err := amqp10.DecodeMessage(encoded)
		if err != nil {
			return
		}
		var m iot.Message
		err = amqpmsg.ReadCommand(in, &m)
		_, _ = deliveryCount(in), judgement(in)
		if err != nil {
			return
		}
		for i, p := range m.Properties {
			for _, other := range m.Properties[:i] {
				if other.Key == p.Key {
					t.Errorf("property %q occurs twice", p.Key)
				}
			}
		}
		var back iot.Message
		b, _ := m.AppendBinary(nil)
		if err := back.UnmarshalBinary(b); err != nil || !bytes.Equal(back.Body, m.Body) {
			t.Errorf("the command cannot be kept: %v", err)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	var msgs []iot.Message
	for range 32 {
		m := iot.Message{Body: []byte(strings.Repeat("x", 120)), Properties: iot.Properties{{Key: "alert", Value: "false"}}}
		m.System.Set(iot.MessageID, "8e1c4d32-0000-4000-8000-000000000001")
		m.System.Set(iot.ContentType, "application/json")
		msgs = append(msgs, m)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := encode(msgs, &batch{}, maxDelivery); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*32/b.Elapsed().Seconds(), "msg/s")
}
