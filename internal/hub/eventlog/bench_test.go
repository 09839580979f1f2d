package eventlog

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"sluice/internal/hub/storage"
	"sluice/iot"
)

// benchMessage is telemetry of 256 bytes as a hub stores it.
func benchMessage() iot.Message {
	m := iot.Message{
		System: iot.System{
			{Name: iot.MessageID, Value: "5f7a1c2e-7d5e-98a4"}, {Name: iot.ContentType, Value: "application/json"},
			{Name: iot.ContentEncoding, Value: "utf-8"},
		},
		Properties: iot.Properties{{Key: "temperatureAlert", Value: "false"}},
		Body:       make([]byte, 256),
	}
	m.Stamp(iot.DeviceIdentity("device-0042"))
	return m
}

func benchLog(b *testing.B) *Log {
	b.Helper()
	l, err := Open(filepath.Join(b.TempDir(), "log"), Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := l.Close(); err != nil {
			b.Error(err)
		}
	})
	return l
}

// BenchmarkAppend is senders that each wait for one message of 256 bytes to be
// fsynced before they send the next, on the file system of the temporary
// directory.
func BenchmarkAppend(b *testing.B) {
	for _, senders := range []int{1, 16, 256} {
		b.Run(fmt.Sprint(senders, " senders"), func(b *testing.B) {
			l := benchLog(b)
			b.ReportAllocs()
			b.SetBytes(256)
			var group sync.WaitGroup
			b.ResetTimer()
			for s := range senders {
				n := b.N / senders
				if s < b.N%senders {
					n++
				}
				group.Go(func() {
					sender := iot.DeviceIdentity(fmt.Sprint("device-", s))
					batch := []iot.Message{benchMessage()}
					done := make(chan error, 1)
					for range n {
						l.Append(sender, batch, func(err error) { done <- err })
						if err := <-done; err != nil {
							b.Error(err)
						}
					}
				})
			}
			group.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
			b.ReportMetric(float64(l.syncs.Load())/float64(b.N), "fsyncs/msg")
		})
	}
}

// BenchmarkRead is a reader that is behind, a thousand events at a time.
func BenchmarkRead(b *testing.B) {
	l := benchLog(b)
	const stored = 100_000
	batch := make([]iot.Message, 1000)
	for i := range batch {
		batch[i] = benchMessage()
	}
	for range stored / len(batch) {
		done := make(chan error, 1)
		l.Append(iot.DeviceIdentity("dev1"), batch, func(err error) { done <- err })
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	p := l.PartitionOf(iot.DeviceIdentity("dev1"))
	r := mustRead(b, l, p, storage.Earliest())
	b.ReportAllocs()
	b.SetBytes(256)
	b.ResetTimer()
	for n := 0; n < b.N; {
		events, err := r.Poll(1000)
		if err != nil {
			b.Fatal(err)
		}
		if len(events) == 0 {
			r = mustRead(b, l, p, storage.Earliest())
		}
		n += len(events)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
