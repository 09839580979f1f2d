package cli

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// How the garbage collector is paced. A silent process has it run earlier than it would
// by default: most of its memory is connections that do nothing, and Go would let the
// garbage of their handshakes take as much again. In a busy one nearly all is garbage
// soon, and it would run forty times a second to keep ten megabytes small; so it may let
// some more come together.
const (
	silentPercent = 60
	busyPercent   = 400      // at most
	busyGarbage   = 32 << 20 // bytes, about
)

// What a look at a process goes by. One that falls silent gives back what it needed
// while it was busy: the garbage of a thousand handshakes would otherwise stay until the
// next collection, which in a silent process is minutes away.
const (
	lookEvery    = 2 * time.Second
	quietGrowth  = 1 << 20  // bytes allocated between two looks, at most
	busyGrowth   = 64 << 20 // bytes allocated between two looks, at least
	worthFreeing = 8 << 20  // bytes allocated since memory was given back, at least
)

// tendingMemory runs a server, and tends its memory meanwhile.
func tendingMemory(ctx context.Context, run func(context.Context) error) error {
	tending, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { tendMemory(tending) })
	defer wg.Wait()
	defer stop()
	return run(ctx)
}

// tendMemory paces the garbage collector and returns unused memory to the system after
// each busy time, until ctx ends. Who sets GOGC paces it himself.
func tendMemory(ctx context.Context) {
	setPercent := func(percent int) {
		if os.Getenv("GOGC") == "" {
			debug.SetGCPercent(percent)
		}
	}
	now := silentPercent
	setPercent(now)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for q := (quiet{}); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			total, live := heap()
			growth := total - q.last
			if q.look(total) {
				debug.FreeOSMemory()
			}
			if percent := pace(growth, live); percent != now {
				now = percent
				setPercent(now)
			}
		}
	}
}

// pace is the percentage by which a heap may grow before it is collected, if it had so
// many bytes allocated since the last look and so many are not garbage.
func pace(growth, live uint64) (percent int) {
	if growth < busyGrowth {
		return silentPercent
	}
	// In steps, as each change stops the world for a moment.
	percent = int(min(busyPercent, 100*busyGarbage/max(live, 1))) / 20 * 20
	return max(percent, silentPercent)
}

// quiet tells when a process has become quiet after it was busy.
type quiet struct {
	last  uint64 // bytes ever allocated, when last looked at
	freed uint64 // and when memory was last given back
}

func (q *quiet) look(total uint64) (worth bool) {
	silent := total-q.last <= quietGrowth
	q.last = total
	if !silent || total-q.freed < worthFreeing {
		return false
	}
	q.freed = total
	return true
}

// heap is how many bytes the process has ever allocated, and how many of them were not
// garbage at the last collection.
func heap() (total, live uint64) {
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64(), samples[1].Value.Uint64()
}
