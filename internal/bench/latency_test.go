package bench

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestQuantilesAreWithinOnePart(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var l, half Latencies
	var all []time.Duration
	for i := range 100_000 {
		d := time.Duration(rng.ExpFloat64() * float64(time.Millisecond))
		all = append(all, d)
		if i%2 == 0 {
			l.Add(d)
		} else {
			half.Add(d)
		}
	}
	l.Merge(&half)
	slices.Sort(all)
	for _, part := range []float64{0, 0.01, 0.5, 0.99, 0.999, 1} {
		want := all[max(int(part*float64(len(all))+0.999999)-1, 0)]
		got := l.Quantile(part)
		if got < want || float64(got) > float64(want)*(1+1.0/64)+1 {
			t.Errorf("Quantile(%v) = %v, want %v or up to 1/64 more", part, got, want)
		}
	}
	if got, want := l.Quantile(1), all[len(all)-1]; got != want {
		t.Errorf("the longest is %v, want %v", got, want)
	}
}

func TestEveryDurationHasItsBucket(t *testing.T) {
	last := -1
	for _, d := range []time.Duration{-5, 0, 1, 63, 64, 65, 127, 128, 129, 1000, time.Microsecond, time.Second, time.Hour, 24 * time.Hour, 1 << 62} {
		b := bucket(d)
		if b < last || b >= buckets {
			t.Errorf("bucket(%v) = %d, after %d, of %d", d, b, last, buckets)
		}
		if u := upper(b); d > 0 && d < 48*time.Hour && (u < d || bucket(u) != b || bucket(u+1) != b+1) {
			t.Errorf("bucket(%v) ends at %v", d, u)
		}
		last = b
	}
}

func TestNothingMeasuredIsNothing(t *testing.T) {
	var l Latencies
	if l.Quantile(0.99) != 0 || l.Summary() != (Summary{}) {
		t.Errorf("of nothing: %v, %+v", l.Quantile(0.99), l.Summary())
	}
}
