package amqpservice

import (
	"bytes"
	"testing"

	"sluice/amqp10"
	"sluice/iot"
)

// telemetry are n messages as a device sends them, of 200 bytes.
func telemetry(n int) []iot.Message {
	batch := make([]iot.Message, n)
	for i := range batch {
		m := &batch[i]
		m.Body = bytes.Repeat([]byte("x"), 200)
		m.Stamp(pump)
		m.System.Set(iot.ConnectionAuthMethod, `{"scope":"device","type":"sas","issuer":"iothub"}`)
		m.System.Set(iot.ConnectionDeviceGenerationID, "638000000000000000")
		m.System.Set(iot.ContentType, "application/json")
		m.System.Set(iot.ContentEncoding, "utf-8")
		m.Properties.Set("level", "normal")
		m.Properties.Set("line", "7")
	}
	return batch
}

// One application reads a partition from its beginning, over a connection in memory.
func BenchmarkRead(b *testing.B) {
	r := newRig(b)
	const n = 10_000
	for range n / 1000 {
		r.append(pump, telemetry(1000))
	}
	a := r.trusted(b)
	b.ReportAllocs()
	for b.Loop() {
		reader := a.reader(r.reading("", func(k *amqp10.ReceiverConfig) { k.Window = 1000 }))
		for range n {
			d, err := reader.Receive(a.ctx)
			if err != nil {
				b.Fatal(err)
			}
			d.Accept()
		}
		if err := reader.Close(a.ctx); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "events/s")
}
