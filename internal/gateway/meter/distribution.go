package meter

import (
	"math"
	"time"
)

// window is how long measurements count in quantiles, at least; at most twice as
// long.
const window = 30 * time.Minute

// A distribution knows the quantiles of what was measured lately, to within some
// 6 %: each power of two is eight buckets.
type distribution struct {
	recent, older buckets
	since         time.Time // of recent
}

const perOctave = 8

// The values that are told apart, as exponents of two: microseconds and single
// bytes to weeks and megabytes. Those outside count as the nearest.
const (
	lowest  = -20
	highest = 24
)

// buckets count values by size. Only the range that occurs is kept.
type buckets struct {
	first  int // bucket of counts[0]
	counts []uint32
}

func bucketOf(v float64) int {
	if !(v > 0) {
		return lowest * perOctave
	}
	frac, exp := math.Frexp(v) // frac in [0.5, 1)
	i := exp*perOctave + int((frac-0.5)*2*perOctave)
	return min(max(i, lowest*perOctave), highest*perOctave)
}

// middle is the value that stands for a bucket's.
func middle(bucket int) float64 {
	exp := int(math.Floor(float64(bucket) / perOctave))
	step := float64(bucket-exp*perOctave) + 0.5
	return math.Ldexp(0.5+step/(2*perOctave), exp)
}

func (b *buckets) add(bucket int) {
	switch n := len(b.counts); {
	case n == 0:
		b.first, b.counts = bucket, make([]uint32, 1, perOctave)
	case bucket < b.first:
		grown := make([]uint32, n+b.first-bucket)
		copy(grown[b.first-bucket:], b.counts)
		b.first, b.counts = bucket, grown
	case bucket >= b.first+n:
		b.counts = append(b.counts, make([]uint32, bucket-b.first-n+1)...)
	}
	b.counts[bucket-b.first]++
}

func (b *buckets) at(bucket int) uint64 {
	if bucket < b.first || bucket >= b.first+len(b.counts) {
		return 0
	}
	return uint64(b.counts[bucket-b.first])
}

func (b *buckets) total() (n uint64) {
	for _, c := range b.counts {
		n += uint64(c)
	}
	return n
}

func (d *distribution) add(now time.Time, values []float64) {
	d.turn(now)
	for _, v := range values {
		d.recent.add(bucketOf(v))
	}
}

// turn forgets what is too old.
func (d *distribution) turn(now time.Time) {
	age := now.Sub(d.since)
	if age < window {
		return
	}
	d.older = d.recent
	if age >= 2*window {
		d.older = buckets{}
	}
	d.recent, d.since = buckets{}, now
}

// quantiles returns a value for each level, in rising order; NaN if nothing was
// measured lately, as Prometheus has it.
func (d *distribution) quantiles(levels []float64) []float64 {
	d.turn(time.Now())
	out := make([]float64, len(levels))
	total := d.recent.total() + d.older.total()
	if total == 0 {
		for i := range out {
			out[i] = math.NaN()
		}
		return out
	}
	next, seen := 0, uint64(0)
	for bucket := lowest * perOctave; bucket <= highest*perOctave && next < len(levels); bucket++ {
		seen += d.recent.at(bucket) + d.older.at(bucket)
		for next < len(levels) && float64(seen) >= levels[next]*float64(total) {
			out[next] = middle(bucket)
			next++
		}
	}
	return out
}
