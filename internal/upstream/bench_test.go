package upstream

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"sluice/iot"
)

// sample is a message as sensors send them.
func sample(i int) iot.Message {
	m := iot.Message{Body: fmt.Appendf(nil, `{"machine":{"temperature":%d.5,"pressure":1.25},"ambient":{"temperature":21.0,"humidity":25},"n":%d}`, 20+i%60, i)}
	m.System.Set(iot.MessageID, fmt.Sprintf("8e1c4d32-0000-4000-8000-%012d", i))
	m.System.Set(iot.ContentType, "application/json")
	m.System.Set(iot.ContentEncoding, "utf-8")
	m.Properties.Set("alert", "false")
	return m
}

// BenchmarkTelemetry is messages of a whole gateway to a hub in this process that
// stores them, as the uplink sends them: 32 at a time, 4 such batches of each lane
// under way.
func BenchmarkTelemetry(b *testing.B) {
	for _, p := range []Protocol{AMQP, MQTT} {
		for _, lanes := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s/lanes=%d", p, lanes), func(b *testing.B) { benchmarkTelemetry(b, p, lanes) })
		}
	}
}

func benchmarkTelemetry(b *testing.B, p Protocol, lanes int) {
	var ids []string
	for i := range lanes {
		ids = append(ids, fmt.Sprint("d", i))
	}
	s := newSite(b, ids...)
	h := s.client(p, nil)
	batch := make([]iot.Message, 32)
	for i := range batch {
		batch[i] = sample(i)
	}
	var sessions []iot.Session
	for _, id := range ids {
		sessions = append(sessions, s.connect(h, iot.DeviceIdentity(id), nil))
	}
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for _, session := range sessions {
		wg.Go(func() { sendMany(b, session, batch, b.N/lanes/len(batch)+1) })
	}
	wg.Wait()
	b.StopTimer()
	n := (b.N/lanes/len(batch) + 1) * lanes * len(batch)
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "msg/s")
}

func sendMany(b *testing.B, session iot.Session, batch []iot.Message, times int) {
	ahead := make(chan error, 4)
	for i := range times {
		if i >= cap(ahead) {
			if err := <-ahead; err != nil {
				b.Error(err)
			}
		}
		session.Send(batch, func(err error) { ahead <- err })
	}
	for range min(times, cap(ahead)) {
		if err := <-ahead; err != nil {
			b.Error(err)
		}
	}
}

// BenchmarkIdentities is how long it takes until 10,000 identities that share one
// connection are back after it was cut, and what they hold meanwhile.
func BenchmarkIdentities(b *testing.B) {
	const n = 10_000
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprint("device-", i)
	}
	s := newSite(b, ids...)
	w := newWire(b, s.host.AMQPAddr())
	h := s.client(AMQP, func(o *Options) {
		o.AMQPPort, o.Identities = w.port(), n
		o.ConnectTimeout, o.AckTimeout = 5*time.Minute, 5*time.Minute
	})
	creds := make([]iot.Credentials, n)
	for i, id := range ids {
		creds[i] = s.behalf(iot.DeviceIdentity(id), time.Hour)
	}
	before := inUse()
	b.ResetTimer()
	for b.Loop() {
		sessions := connectAll(b, h, creds)
		b.StopTimer()
		b.ReportMetric(float64(inUse()-before)/n, "B/identity")
		for _, session := range sessions {
			_ = session.Close()
		}
		w.cut()
		b.StartTimer()
	}
	b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "identities/s")
}

func connectAll(b *testing.B, h *Hub, creds []iot.Credentials) []iot.Session {
	sessions := make([]iot.Session, len(creds))
	var wg sync.WaitGroup
	for i := range creds {
		wg.Go(func() {
			var err error
			if sessions[i], err = h.Connect(b.Context(), creds[i], iot.Client{Product: "sluice"}); err != nil {
				b.Error(err)
			}
		})
	}
	wg.Wait()
	return sessions
}

func inUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
