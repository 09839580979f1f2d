package cli

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// A gateway that falls silent gives back what it needed while it was busy: the
// garbage of a thousand handshakes would otherwise stay until the next collection,
// which in a silent process is minutes away.
const (
	quietTime    = 2 * time.Second // between two looks
	quietGrowth  = 1 << 20         // bytes allocated between two looks, at most
	worthFreeing = 8 << 20         // bytes allocated since memory was given back, at least
)

// giveBackMemory returns unused memory to the system after each busy time, until
// ctx ends.
func giveBackMemory(ctx context.Context) {
	tick := time.NewTicker(quietTime)
	defer tick.Stop()
	for q := (quiet{}); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if q.look(allocated()) {
				debug.FreeOSMemory()
			}
		}
	}
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

// allocated is how many bytes the process has ever allocated on its heap.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
