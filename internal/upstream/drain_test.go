package upstream

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"sluice/internal/await"
	"sluice/internal/gateway"
	"sluice/internal/spool"
	"sluice/iot"
)

// BenchmarkDrain is how fast a gateway brings what waits in its spool to a hub in
// this process: 200,000 messages of 100 devices, from disk to disk.
func BenchmarkDrain(b *testing.B) {
	for _, p := range []Protocol{AMQP, MQTT} {
		b.Run(string(p), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				took := drain(b, p, 100, 2000)
				b.StartTimer()
				b.ReportMetric(100*2000/took.Seconds(), "msg/s")
			}
		})
	}
}

func drain(b *testing.B, p Protocol, devices, each int) time.Duration {
	ids := make([]string, devices)
	for i := range ids {
		ids[i] = fmt.Sprint("d", i)
	}
	s := newSite(b, ids...)
	store, err := spool.Open(b.TempDir(), spool.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	db, err := pebble.Open(b.TempDir(), &pebble.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	fillSpool(b, store, ids, each)
	g, err := gateway.New(gateway.Options{
		Device: edgeDevice, HubHost: "localhost", Key: s.key, Parent: s.client(p, nil),
		Spool: store, Dir: b.TempDir(), State: db, TTL: -1,
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	began := time.Now()
	go func() { defer close(done); g.Run(ctx) }()
	total := uint64(devices * each)
	await.True(b, "the end of draining", func() bool { return g.Counts().Delivered.Load() == total })
	took := time.Since(began)
	stop()
	<-done
	return took
}

func fillSpool(b *testing.B, store *spool.Store, ids []string, each int) {
	b.Helper()
	done := make(chan error, 1)
	for n := range each / 100 {
		for _, id := range ids {
			entries := make([]spool.Entry, 100)
			for i := range entries {
				m := sample(n*100 + i)
				m.Stamp(iot.DeviceIdentity(id))
				data, err := m.AppendBinary(nil)
				if err != nil {
					b.Fatal(err)
				}
				entries[i] = spool.Entry{Queue: gateway.UpstreamQueue, Lane: id, Data: data}
			}
			store.Append(entries, func(err error) { done <- err })
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		}
	}
}
