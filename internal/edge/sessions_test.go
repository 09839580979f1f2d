package edge

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"

	"sluice/internal/mqtthead"
	"sluice/iot"
)

func openTestSessions(t testing.TB, dir string) *sessions {
	t.Helper()
	s, err := openSessions(dir, slog.New(slog.DiscardHandler), func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSessionsAreKeptByIdentity(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sessions")
	want := map[iot.Identity]mqtthead.Subscriptions{
		iot.DeviceIdentity("a"):          1,
		iot.ModuleIdentity("a", "b"):     0x8003,
		iot.DeviceIdentity("A"):          7,
		iot.DeviceIdentity("changed"):    2,
		iot.DeviceIdentity("forgotten"):  0,
		iot.DeviceIdentity("never seen"): 0,
	}
	s := openTestSessions(t, dir)
	save := func(id iot.Identity, subs mqtthead.Subscriptions) {
		if err := s.Save(t.Context(), id, subs); err != nil {
			t.Fatal(err)
		}
	}
	save(iot.DeviceIdentity("changed"), 9)
	save(iot.DeviceIdentity("forgotten"), 9)
	for id, subs := range want {
		save(id, subs)
	}
	for range 2 { // the second time after a restart
		for id, subs := range want {
			if got, err := s.Load(t.Context(), id); err != nil || got != subs {
				t.Errorf("%s: %x, %v, want %x", id, got, err, subs)
			}
		}
		if err := s.close(); err != nil {
			t.Fatal(err)
		}
		s = openTestSessions(t, dir)
	}
	_ = s.close() // nothing was written
}

// What a client subscribes to again must not cost an fsync.
func TestSameSubscriptionsAreNotWrittenAgain(t *testing.T) {
	s := openTestSessions(t, filepath.Join(t.TempDir(), "sessions"))
	defer s.close() //nolint:errcheck // the end of the test
	id := iot.DeviceIdentity("pump1")
	if err := s.Save(t.Context(), id, 3); err != nil {
		t.Fatal(err)
	}
	before := s.db.Metrics().WAL.BytesIn
	for range 100 {
		if err := s.Save(t.Context(), id, 3); err != nil {
			t.Fatal(err)
		}
	}
	if after := s.db.Metrics().WAL.BytesIn; after != before {
		t.Errorf("%d bytes were written", after-before)
	}
}

// BenchmarkSessions is a site whose devices all subscribe for the first time.
func BenchmarkSessions(b *testing.B) {
	s := openTestSessions(b, filepath.Join(b.TempDir(), "sessions"))
	defer s.close() //nolint:errcheck // the end of the benchmark
	const clients = 256
	b.ReportAllocs()
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for n := c; n < b.N; n += clients {
				if err := s.Save(b.Context(), iot.DeviceIdentity(fmt.Sprint("device", n)), 3); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
