package gateway

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/sas"
	"sluice/internal/spool"
	"sluice/iot"
)

// BenchmarkSend is a device's telemetry from its head to its acknowledgement, in
// batches of 16 of 256 bytes, on a disk that costs nothing: the gateway's own part
// of the publish path, and the spool's.
func BenchmarkSend(b *testing.B) {
	store, err := spool.Open("/spool", spool.Options{FS: vfs.NewMem(), BallastBytes: -1, MinFree: -1})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	db := state(b)
	dev := child("dev")
	parent := newFakeParent(edgeDevice(), dev)
	g, err := New(Options{
		Device: "edge", HubHost: hubHost, Key: edgeKey, Parent: parent,
		Spool: store, Dir: b.TempDir(), State: db, TTL: -1,
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := g.scope.Refresh(b.Context()); err != nil {
		b.Fatal(err)
	}
	token, err := sas.Sign(dev.Auth.PrimaryKey, sas.Resource{Host: hubHost, Identity: dev.Identity}, "", time.Now().Add(time.Hour))
	if err != nil {
		b.Fatal(err)
	}
	session, err := g.Connect(b.Context(), iot.Credentials{Identity: dev.Identity, Token: token}, iot.Client{})
	if err != nil {
		b.Fatal(err)
	}
	body := make([]byte, 256)
	wait := make(chan error, 1)
	b.ReportAllocs()
	b.SetBytes(16 * 256)
	for n := 0; b.Loop(); n++ {
		if n%4096 == 4095 { // what nobody drains must not be what is measured
			b.StopTimer()
			if _, err := store.Queue(UpstreamQueue).Purge(); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
		batch := make([]iot.Message, 16)
		for i := range batch {
			batch[i].Body = body
		}
		session.Send(batch, func(err error) { wait <- err })
		if err := <-wait; err != nil {
			b.Fatal(err)
		}
	}
}
