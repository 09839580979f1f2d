package translate

import "sync/atomic"

// counters count since the module was made.
type counters struct {
	kept, delivered, passed, bad, dropped, held, asked atomic.Uint64
}

// Stats are what a module has done since it was made, and what it has.
type Stats struct {
	Leaves map[State]int // in each state
	Open   int           // sessions of leaves

	Kept      uint64 // messages stored
	Delivered uint64 // messages that the gateway took under their leaf's identity
	Passed    uint64 // messages of no leaf that were passed on
	Bad       uint64 // messages that could not be understood, or were not allowed
	Dropped   uint64 // leaves' messages that were dropped
	Held      uint64 // deliveries given back for want of room
	Asked     uint64 // requests to the cloud
}

// Stats returns the figures.
func (m *Module) Stats() Stats {
	c := &m.counts
	s := Stats{
		Leaves: map[State]int{}, Kept: c.kept.Load(), Delivered: c.delivered.Load(), Passed: c.passed.Load(),
		Bad: c.bad.Load(), Dropped: c.dropped.Load(), Held: c.held.Load(), Asked: c.asked.Load(),
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.leaves {
		s.Leaves[l.State]++
		if l.conn != nil {
			s.Open++
		}
	}
	return s
}
