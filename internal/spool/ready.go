package spool

import (
	"container/heap"
)

// A readySet orders the lanes that can be leased: the most urgent first, and
// among equals the one that came first. The zero value is empty.
type readySet struct {
	heap  laneHeap
	turns uint64
}

// put adds a lane, or moves it if its priority changed; a lane that is there
// already keeps its turn.
func (r *readySet) put(ln *lane, priority uint32) {
	if ln.inReady && ln.priority == priority {
		return
	}
	r.remove(ln)
	r.turns++
	ln.inReady, ln.priority, ln.turn = true, priority, r.turns
	heap.Push(&r.heap, ln)
}

func (r *readySet) remove(ln *lane) {
	if ln.inReady {
		heap.Remove(&r.heap, ln.place)
	}
}

// pop takes the first lane out, or returns nil.
func (r *readySet) pop() *lane {
	if len(r.heap) == 0 {
		return nil
	}
	return heap.Pop(&r.heap).(*lane)
}

// top returns the priority of the first lane.
func (r *readySet) top() (uint32, bool) {
	if len(r.heap) == 0 {
		return 0, false
	}
	return r.heap[0].priority, true
}

// laneHeap implements heap.Interface.
type laneHeap []*lane

func (h laneHeap) Len() int { return len(h) }

func (h laneHeap) Less(i, j int) bool {
	if h[i].priority != h[j].priority {
		return h[i].priority < h[j].priority
	}
	return h[i].turn < h[j].turn
}

func (h laneHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

func (h *laneHeap) Push(x any) {
	ln := x.(*lane)
	ln.place = len(*h)
	*h = append(*h, ln)
}

func (h *laneHeap) Pop() any {
	last := len(*h) - 1
	ln := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	ln.inReady = false
	return ln
}
