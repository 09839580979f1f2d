package spool

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var backlog = flag.Int("backlog", 100_000, "records in the benchmarks' backlog, in 100 lanes")

const payload = 256

// BenchmarkBareSync is what the others are to be compared with: one write and
// one fsync at a time on the same file system.
func BenchmarkBareSync(b *testing.B) {
	f, err := os.Create(b.TempDir() + "/f")
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	data := make([]byte, payload)
	b.SetBytes(payload)
	for b.Loop() {
		if _, err := f.Write(data); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAppend has senders that each wait for one message before the next.
func BenchmarkAppend(b *testing.B) {
	for _, senders := range []int{1, 16, 256, 1600} {
		b.Run(fmt.Sprintf("senders=%d", senders), func(b *testing.B) {
			s := open(b, b.TempDir()+"/s", Options{})
			b.SetBytes(payload)
			b.ReportAllocs()
			b.ResetTimer()
			appendFrom(b, s, senders, b.N)
			b.ReportMetric(float64(s.Stats().Commits)/b.Elapsed().Seconds(), "commits/s")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
		})
	}
}

func appendFrom(b *testing.B, s *Store, senders, n int) {
	var left atomic.Int64
	left.Store(int64(n))
	var group sync.WaitGroup
	for i := range senders {
		lane := fmt.Sprintf("device-%04d", i)
		group.Go(func() {
			data := make([]byte, payload)
			wait := make(chan error, 1)
			done := func(err error) { wait <- err }
			for left.Add(-1) >= 0 {
				s.Append([]Entry{{Queue: "$upstream", Lane: lane, Data: data}}, done)
				if err := <-wait; err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
}

// telemetry is a payload that compresses by half, as telemetry does.
func telemetry(rng *rand.Rand) []byte {
	data := make([]byte, payload)
	for i := range payload / 2 {
		data[i] = byte(rng.Uint32())
	}
	return data
}

// fill makes a backlog of n records in 100 lanes.
func fill(b testing.TB, s *Store, queue string, n int) {
	b.Helper()
	rng := rand.New(rand.NewPCG(1, 1))
	for sent := 0; sent < n; {
		var entries []Entry
		for range min(1000, n-sent) {
			entries = append(entries, Entry{Queue: queue, Lane: fmt.Sprintf("device-%02d", sent%100), Data: telemetry(rng)})
			sent++
		}
		put(b, s, entries...)
	}
}

// BenchmarkThroughput appends, reads and acknowledges at once, with and without a
// backlog behind.
func BenchmarkThroughput(b *testing.B) {
	for _, behind := range []int{0, *backlog} {
		b.Run(fmt.Sprintf("backlog=%d", behind), func(b *testing.B) {
			s := open(b, b.TempDir()+"/s", Options{})
			fill(b, s, "other", behind)
			fill(b, s, "$upstream", behind)
			b.SetBytes(payload)
			b.ReportAllocs()
			b.ResetTimer()
			var group sync.WaitGroup
			group.Go(func() { drain(b, s.Queue("$upstream"), b.N) })
			group.Go(func() { appendFrom(b, s, 256, b.N) })
			group.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
		})
	}
}

// drain delivers n records.
func drain(b testing.TB, q *Queue, n int) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	for n > 0 {
		l, err := q.Acquire(ctx)
		if err != nil {
			b.Error(err)
			return
		}
		for range 4 {
			recs, err := l.Read(min(n, 256), 1<<20)
			if err != nil {
				b.Error(err)
				return
			}
			if len(recs) == 0 {
				break
			}
			l.Ack(recs...)
			n -= len(recs)
		}
		l.Release(0)
	}
}

// BenchmarkDrain empties a backlog.
func BenchmarkDrain(b *testing.B) {
	s := open(b, b.TempDir()+"/s", Options{})
	fill(b, s, "$upstream", b.N)
	b.SetBytes(payload)
	b.ReportAllocs()
	b.ResetTimer()
	drain(b, s.Queue("$upstream"), b.N)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
}

// BenchmarkOpen opens a store with a backlog.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir() + "/s"
	s := open(b, dir, Options{})
	fill(b, s, "$upstream", *backlog)
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s := open(b, dir, Options{})
		if n := s.Queue("$upstream").Stats().Records; n != uint64(*backlog) {
			b.Fatalf("%d records, want %d", n, *backlog)
		}
		s.Close()
	}
}

// fillShared makes a backlog of n records in each of three queues, the first with 16
// lanes, which have their data in common.
func fillShared(b testing.TB, s *Store, n int) {
	b.Helper()
	rng := rand.New(rand.NewPCG(1, 1))
	for sent := 0; sent < n; {
		var entries []Entry
		for range min(1000, n-sent) {
			data := telemetry(rng)
			entries = append(entries, Entry{Queue: "$upstream", Lane: fmt.Sprintf("device-%02d", sent/16%16), Data: data},
				Entry{Queue: "modules/filter/inputs/a", Data: data}, Entry{Queue: "modules/filter/inputs/b", Data: data})
			sent++
		}
		put(b, s, entries...)
	}
}

// BenchmarkDrainShared empties the first and the last of three queues with a backlog of
// the same data.
func BenchmarkDrainShared(b *testing.B) {
	for _, queue := range []string{"$upstream", "modules/filter/inputs/a"} {
		b.Run(queue, func(b *testing.B) {
			s := open(b, b.TempDir()+"/s", Options{})
			fillShared(b, s, b.N)
			b.SetBytes(payload)
			b.ReportAllocs()
			b.ResetTimer()
			drain(b, s.Queue(queue), b.N)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
		})
	}
}
