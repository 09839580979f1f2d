package bench

import (
	"math/bits"
	"time"
)

// Latencies counts durations in buckets whose width is 1/64 of what they hold:
// any number of them takes the same 22 KB. The zero value is ready.
type Latencies struct {
	count uint64
	sum   time.Duration
	max   time.Duration
	of    [buckets]uint64
}

const (
	exact     = 64 // nanoseconds, each with its own bucket
	perDouble = 64
	doubles   = 42 // up to 64 ns * 2^42: three days
	buckets   = exact + doubles*perDouble
)

// bucket returns where d is counted.
func bucket(d time.Duration) int {
	if d < exact {
		return int(max(d, 0))
	}
	double := bits.Len64(uint64(d)) - 7 // 0 for 64 to 127
	return min(exact+double*perDouble+int(uint64(d)>>double)-exact, buckets-1)
}

// upper is the longest duration of a bucket.
func upper(bucket int) time.Duration {
	if bucket < exact {
		return time.Duration(bucket)
	}
	double, part := (bucket-exact)/perDouble, (bucket-exact)%perDouble
	return time.Duration(exact+part+1)<<double - 1
}

// Add counts a duration.
func (l *Latencies) Add(d time.Duration) {
	l.count++
	l.sum += d
	l.max = max(l.max, d)
	l.of[bucket(d)]++
}

// Merge adds what other has counted.
func (l *Latencies) Merge(other *Latencies) {
	l.count += other.count
	l.sum += other.sum
	l.max = max(l.max, other.max)
	for i, n := range other.of {
		l.of[i] += n
	}
}

// Quantile is the duration that the given part of all does not exceed, to within
// 1/64; 0 if there are none.
func (l *Latencies) Quantile(part float64) time.Duration {
	rank := uint64(part*float64(l.count) + 0.999999)
	rank = min(max(rank, 1), l.count)
	seen := uint64(0)
	for i, n := range l.of {
		if seen += n; n > 0 && seen >= rank {
			return min(upper(i), l.max)
		}
	}
	return 0
}

// Summary is what is told of latencies, in milliseconds.
type Summary struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99.9"`
	Max  float64 `json:"max"`
}

// Summary returns the figures of what was counted.
func (l *Latencies) Summary() Summary {
	if l.count == 0 {
		return Summary{}
	}
	ms := func(d time.Duration) float64 { return float64(d.Round(time.Microsecond)) / float64(time.Millisecond) }
	return Summary{
		Mean: ms(l.sum / time.Duration(l.count)), P50: ms(l.Quantile(0.5)), P99: ms(l.Quantile(0.99)),
		P999: ms(l.Quantile(0.999)), Max: ms(l.max),
	}
}
