package translate

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"sluice/internal/await"
	"sluice/internal/leafwire"
	"sluice/internal/translate"
	"sluice/iot"
)

// crowd has n leaves appear at once, each with some messages, and waits until the
// hub has all of them. It checks that each leaf was created once, and its order.
func (s *site) crowd(n, each int) {
	s.t.Helper()
	p := s.translator(ptm, 0)
	defer s.refreshing()()
	for i := range each {
		batch := make([]iot.Message, 0, 100)
		for leaf := range n {
			batch = append(batch, p.route(fmt.Sprint("leaf-", leaf)).Telemetry(iot.Message{Body: []byte(fmt.Sprint(i))}))
			if len(batch) == cap(batch) || leaf == n-1 {
				p.say(batch...)
				batch = batch[:0:0]
			}
		}
	}
	want := make([]string, each)
	for i := range want {
		want[i] = fmt.Sprint(i)
	}
	s.everybody(n)
	for leaf := range n {
		id := fmt.Sprint("leaf-", leaf)
		s.cloud.has(id, want...)
		if n := s.cloud.createdTimes(id); n != 1 {
			s.t.Errorf("%s was created %d times", id, n)
		}
	}
}

// refreshing has the gateway look at its whole scope every second. Unknown devices
// it looks up one by one, a few a second, lest strangers flood its hub; of so many at
// once it would learn slowly.
func (s *site) refreshing() (stop func()) {
	return await.Run(func(ctx context.Context) {
		for ctx.Err() == nil {
			_ = s.gateway.Load().RefreshScope(ctx) // or else the next one
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
	})
}

// everybody waits until the hub has heard of n leaves, as long as there are more and
// more of them.
func (s *site) everybody(n int) {
	s.t.Helper()
	for heard := 0; heard < n; {
		await.Success(s.t, "more leaves are heard of", func() error {
			s.cloud.mu.Lock()
			defer s.cloud.mu.Unlock()
			if len(s.cloud.got) == heard {
				return fmt.Errorf("%d of %d are", heard, n)
			}
			heard = len(s.cloud.got)
			return nil
		})
	}
}

func TestZ10_ManyLeavesAtOnce(t *testing.T) {
	n := 300
	if os.Getenv("SLUICE_FULL") == "1" {
		n = 2000
	}
	if many, err := strconv.Atoi(os.Getenv("SLUICE_LEAVES")); err == nil {
		n = many // by hand: ten thousand take a minute
	}
	s := newSite(t, func(o *translate.Options) { o.Patience.AskAgain = await.Patience }) // a loaded machine is no reason to ask twice
	began := time.Now()
	s.crowd(n, 2)
	t.Logf("%d leaves in %v", n, time.Since(began))
}

// New ids are asked for no faster than the cloud is to be asked, whoever invents
// them, and no more of them are known than may be.
func TestZ10_InventedLeavesAreBounded(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(o *translate.Options) { o.RegisterRate, o.MaxLeaves = 20, 50 })
	p := s.translator(ptm, 0)
	began := time.Now()
	for i := range 200 {
		p.tell(fmt.Sprint("invented-", i), "x")
	}
	await.Success(s.t, "the others are refused", func() error {
		if bad := s.module.Stats().Bad; bad != 150 {
			return fmt.Errorf("%d refused", bad)
		}
		return nil
	})
	s.leafState(translate.Registered, 50)
	// A burst of one second's worth, and then the rate.
	if took, least := time.Since(began), 29*time.Second/20; took < least {
		t.Errorf("50 leaves were asked for in %v, less than %v", took, least)
	}
}

// BenchmarkLeaves registers leaves with everything that a leaf can have, and says
// what one costs in memory: module, gateway and hub together.
func BenchmarkLeaves(b *testing.B) {
	s := newSite(b, func(o *translate.Options) { o.Patience.AskAgain = await.Patience })
	p := s.translator(ptm, 0)
	defer s.refreshing()()
	before := heap()
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		p.say(p.route(fmt.Sprint("leaf-", i)).Hello(leafwire.Hello{Methods: true, Desired: true, Commands: true}))
	}
	await.Success(s.t, "all are registered and listen", func() error {
		if st := s.module.Stats(); st.Open < b.N {
			return fmt.Errorf("%+v", st)
		}
		return nil
	})
	b.StopTimer()
	b.ReportMetric(float64(heap()-before)/float64(b.N), "B/leaf")
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
