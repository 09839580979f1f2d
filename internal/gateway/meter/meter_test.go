package meter

import (
	"fmt"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"sluice/iot"
)

func valueOf(b *Book, id string, s Series) (v Value, ok bool) {
	for _, page := range b.Pages() {
		for _, v := range page.Values {
			if page.ID == id && v.Series == s {
				return v, true
			}
		}
	}
	return v, false
}

func TestEachIdentityHasItsFigures(t *testing.T) {
	b := NewBook(0)
	dev := iot.DeviceIdentity("dev")
	b.Of(dev).Add(Series{Quantity: MessagesReceived}, 3)
	b.Of(dev).Add(Series{Quantity: MessagesReceived}, 2)
	b.Of(dev).Add(Series{Quantity: MessagesReceived, Output: "o"}, 7)
	b.Of(iot.Identity{}).Add(Series{Quantity: ConnectsFailed, Reason: "x"}, 1)
	for _, want := range []struct {
		id    string
		s     Series
		count uint64
	}{
		{"dev", Series{Quantity: MessagesReceived}, 5},
		{"dev", Series{Quantity: MessagesReceived, Output: "o"}, 7},
		{"", Series{Quantity: ConnectsFailed, Reason: "x"}, 1},
	} {
		if v, ok := valueOf(b, want.id, want.s); !ok || v.Count != want.count || v.Quantiles != nil {
			t.Errorf("%q %+v: %+v, want %d", want.id, want.s, v, want.count)
		}
	}
}

// W20: nothing that clients do makes the figures grow without bound.
func TestEdgeHubW20_FiguresAreBounded(t *testing.T) {
	b := NewBook(2)
	for i := range 100 {
		b.Of(iot.DeviceIdentity(fmt.Sprint("dev", i))).Add(Series{Quantity: Connects}, 1)
	}
	if n := len(b.Pages()); n != 3 {
		t.Errorf("%d pages, want 2 and that of the others", n)
	}
	if v, _ := valueOf(b, Others, Series{Quantity: Connects}); v.Count != 98 {
		t.Errorf("the others connected %d times, want 98", v.Count)
	}
	m := b.Of(iot.DeviceIdentity("dev0"))
	for i := range 10 * maxSeries {
		m.Add(Series{Quantity: MessagesReceived, Output: fmt.Sprint(i)}, 1)
	}
	var total uint64
	values := m.values()
	for _, v := range values {
		if v.Quantity == MessagesReceived {
			total += v.Count
		}
	}
	if len(values) > maxSeries+int(Quantities) || total != 10*maxSeries {
		t.Errorf("%d series, %d messages; want at most %d series and all %d messages", len(values), total, maxSeries, 10*maxSeries)
	}
}

func TestQuantilesAreNearTheTruth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64Range(1e-5, 1e5), 1, 200).Draw(t, "values")
		d := new(distribution)
		d.add(time.Now(), values)
		for i, got := range d.quantiles(Levels[:]) {
			below := 0
			for _, v := range values {
				if v <= got*1.07 {
					below++
				}
			}
			above := 0
			for _, v := range values {
				if v >= got/1.07 {
					above++
				}
			}
			n := float64(len(values))
			if float64(below) < Levels[i]*n || float64(above) < (1-Levels[i])*n-1e-9 {
				t.Fatalf("quantile %v is %v; %d of %v are below it, %d above", Levels[i], got, below, n, above)
			}
		}
	})
}

func TestStrangeMeasurementsDoNoHarm(t *testing.T) {
	d := new(distribution)
	d.add(time.Now(), []float64{0, -1, math.NaN(), math.Inf(1), math.Inf(-1), 1e300, 5e-324})
	for _, q := range d.quantiles(Levels[:]) {
		if math.IsNaN(q) || math.IsInf(q, 0) {
			t.Errorf("quantile %v", q)
		}
	}
}

func TestQuantilesForgetAndCountsDoNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBook(0)
		s := Series{Quantity: SendDuration}
		m := b.Of(iot.DeviceIdentity("dev"))
		m.Observe(s, 100)
		time.Sleep(window + time.Minute)
		m.Observe(s, 1)
		if v, _ := valueOf(b, "dev", s); v.Quantiles[3] < 90 {
			t.Errorf("after half an hour: %v", v.Quantiles)
		}
		time.Sleep(window)
		if v, _ := valueOf(b, "dev", s); v.Quantiles[3] > 2 {
			t.Errorf("after an hour: %v", v.Quantiles)
		}
		time.Sleep(3 * window)
		if v, _ := valueOf(b, "dev", s); !math.IsNaN(v.Quantiles[0]) || v.Count != 2 || v.Sum != 101 {
			t.Errorf("after a quiet time: %+v", v)
		}
	})
}

func TestMetersAreSafeToShare(t *testing.T) {
	b := NewBook(3)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 200 {
				m := b.Of(iot.DeviceIdentity(fmt.Sprint(j % 5)))
				m.Add(Series{Quantity: Connects}, 1)
				m.Observe(Series{Quantity: MessageSize}, float64(i+1))
				if j%50 == 0 {
					b.Pages()
				}
			}
		})
	}
	wg.Wait()
	var connects uint64
	for _, page := range b.Pages() {
		for _, v := range page.Values {
			if v.Quantity == Connects {
				connects += v.Count
			}
		}
	}
	if connects != 8*200 {
		t.Errorf("%d counted, want %d", connects, 8*200)
	}
}

func BenchmarkAdd(b *testing.B) {
	m := NewBook(0).Of(iot.DeviceIdentity("dev"))
	s := Series{Quantity: MessagesSent, Peer: "upstream", Priority: 2000000000}
	b.ReportAllocs()
	for b.Loop() {
		m.Add(s, 1)
	}
}

func BenchmarkObserve32(b *testing.B) {
	m := NewBook(0).Of(iot.DeviceIdentity("dev"))
	s := Series{Quantity: ProcessDuration, Peer: "upstream", Priority: 2000000000}
	values := make([]float64, 32)
	for i := range values {
		values[i] = 0.001 * float64(i+1)
	}
	b.ReportAllocs()
	for b.Loop() {
		m.Observe(s, values...)
	}
}

func BenchmarkPages(b *testing.B) {
	book := NewBook(0)
	for i := range DefaultMax {
		m := book.Of(iot.DeviceIdentity(fmt.Sprint("dev", i)))
		m.Add(Series{Quantity: MessagesReceived}, 1)
		m.Observe(Series{Quantity: SendDuration}, 0.01, 0.1, 1)
		m.Observe(Series{Quantity: ProcessDuration}, 0.01, 0.1, 1)
	}
	b.ReportAllocs()
	for b.Loop() {
		book.Pages()
	}
}
