package spool

import (
	"sync"
)

// ackBatch acknowledgements do not wait for AckDelay: with it, it bounds how many
// records a crash repeats.
const ackBatch = 64

// An op is one request to the writer. Fields below the line are the writer's,
// then the syncer's.
type op struct {
	entries  []Entry
	removals []removal
	undead   []uint64 // dead letters to remove
	purge    *Queue
	swept    *swept
	settle   settling
	done     func(error) // nil for removals
	bytes    int64       // of entries

	err     error
	placed  []placed // one for each entry
	shareds []shared // to be used
	purged  uint64
}

// alone reports whether the op is to be alone in its commit: it is about what was
// committed before.
func (o *op) alone() bool { return o.purge != nil || o.settle != settleNot }

// A settling asks for a checkpoint.
type settling uint8

const (
	settleNot  settling = iota
	settleSoon          // begin one if it frees space, unless one is under way
	settleNow           // and wait for it: nothing but the database has anything then
)

// An inbox holds what the writer has not taken yet.
type inbox struct {
	max int64 // bytes

	mu     sync.Mutex
	room   sync.Cond // signalled when bytes falls, and on close
	ops    []*op
	bytes  int64 // of entries not called back yet
	acks   int   // removals in ops
	closed error
	spare  [][]removal // for ops to come

	now  chan struct{} // capacity 1: there is something that must not wait
	soon chan struct{} // capacity 1: there are acknowledgements
}

func (in *inbox) init(max int64) {
	in.max = max
	in.room.L = &in.mu
	in.now = make(chan struct{}, 1)
	in.soon = make(chan struct{}, 1)
}

func raise(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// submit gives an op to the writer.
func (s *Store) submit(o *op) {
	if s.inbox.append(o) {
		raise(s.inbox.now)
	}
}

// append waits for room and queues o, for somebody to write it. When closed it calls
// done at once, and returns false.
func (in *inbox) append(o *op) bool {
	in.mu.Lock()
	for in.closed == nil && in.bytes > 0 && in.bytes+o.bytes > in.max {
		in.room.Wait()
	}
	if err := in.closed; err != nil {
		in.mu.Unlock()
		o.done(err)
		return false
	}
	in.bytes += o.bytes
	in.ops = append(in.ops, o)
	in.mu.Unlock()
	return true
}

// remove queues removals, and does not keep the slice. It never waits: what is
// acknowledged was read, and what is read is bounded by the reader.
func (in *inbox) remove(gone []removal) {
	if len(gone) == 0 {
		return
	}
	in.mu.Lock()
	if in.closed != nil {
		in.mu.Unlock()
		return
	}
	if n := len(in.ops); n > 0 && in.ops[n-1].done == nil {
		in.ops[n-1].removals = append(in.ops[n-1].removals, gone...)
	} else {
		in.ops = append(in.ops, &op{removals: append(in.used(), gone...)})
	}
	in.acks += len(gone)
	many := in.acks >= ackBatch
	in.mu.Unlock()
	if many {
		raise(in.now)
	} else {
		raise(in.soon)
	}
}

// Slices of removals are used again: at most so many, and none of more removals.
const (
	spareSlices   = 4
	spareRemovals = 1024
)

// reuse takes the slice of removals that are done with.
func (in *inbox) reuse(gone []removal) {
	if cap(gone) == 0 || cap(gone) > spareRemovals {
		return
	}
	clear(gone)
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.spare) < spareSlices {
		in.spare = append(in.spare, gone[:0])
	}
}

// used returns an empty slice of removals with some room, or nil. mu is held.
func (in *inbox) used() (empty []removal) {
	if n := len(in.spare); n > 0 {
		empty, in.spare = in.spare[n-1], in.spare[:n-1]
	}
	return empty
}

// take returns the next ops in order, with about max bytes of entries; and none if that
// would be one that is to be alone in its commit, but for the writer.
func (in *inbox) take(max int64, writer bool) []*op {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.ops) > 0 && in.ops[0].alone() && !writer {
		return nil
	}
	var bytes int64
	n := 0
	for n < len(in.ops) && (n == 0 || bytes+in.ops[n].bytes <= max) {
		if n > 0 && (in.ops[n].alone() || in.ops[n-1].alone()) {
			break
		}
		bytes += in.ops[n].bytes
		in.acks -= len(in.ops[n].removals)
		n++
	}
	ops := in.ops[:n:n]
	in.ops = in.ops[n:]
	if len(in.ops) == 0 {
		in.ops = nil
	} else {
		raise(in.now)
	}
	return ops
}

// idle reports whether nothing waits for the writer.
func (in *inbox) idle() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return len(in.ops) == 0
}

// pending returns the bytes of entries that were not called back yet.
func (in *inbox) pending() int64 {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.bytes
}

// called gives back the room of ops whose dones were called.
func (in *inbox) called(bytes int64) {
	if bytes == 0 {
		return
	}
	in.mu.Lock()
	in.bytes -= bytes
	in.room.Broadcast()
	in.mu.Unlock()
}

// close makes every append to come fail with err. What is queued stays.
func (in *inbox) close(err error) {
	in.mu.Lock()
	if in.closed == nil {
		in.closed = err
	}
	in.room.Broadcast()
	in.mu.Unlock()
}
