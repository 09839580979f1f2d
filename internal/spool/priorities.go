package spool

import (
	"cmp"
	"slices"
)

// PriorityStats describe the records of one priority in all lanes of a queue.
type PriorityStats struct {
	Priority uint32
	Records  uint64
	Bytes    int64 // data plus Overhead each
}

// Priorities returns the priorities of which the queue holds records, the most
// urgent first.
func (q *Queue) Priorities() []PriorityStats {
	sums := map[uint32]tally{}
	q.mu.Lock()
	for _, ln := range q.lanes {
		for _, st := range ln.strands {
			sum := sums[st.key.priority]
			sum.n += st.live.n
			sum.bytes += st.live.bytes
			sums[st.key.priority] = sum
		}
	}
	q.mu.Unlock()
	var out []PriorityStats
	for priority, sum := range sums {
		if sum.n > 0 {
			out = append(out, PriorityStats{priority, sum.n, int64(sum.bytes)})
		}
	}
	slices.SortFunc(out, func(a, b PriorityStats) int { return cmp.Compare(a.Priority, b.Priority) })
	return out
}
