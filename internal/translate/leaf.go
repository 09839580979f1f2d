package translate

import (
	"fmt"
	"time"
)

// admit decides whether something that a leaf said is kept.
func (m *Module) admit(s saying) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.leaves[s.route.Leaf]
	switch {
	case l == nil && len(m.leaves) >= m.opt.MaxLeaves:
		return fmt.Errorf("is of leaf %s, and %d leaves are known already, which is the limit", s.route.Leaf, len(m.leaves))
	case l != nil && l.State == Disabled && s.kind != hello:
		return fmt.Errorf("is of leaf %s, which is disabled", l.id)
	}
	m.leafOf(s.route.Leaf)
	return nil
}

// spoke notes who spoke for a leaf. What it said is on disk.
func (m *Module) spoke(s saying) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.leafOf(s.route.Leaf)
	now := time.Now()
	next := l.clamp(&m.opt.Patience, now).spoke(s.kind == hello, now)
	next.Module = s.route.Module
	late := l.Module == "" && next.State == l.State // it was decided before it was known whom to tell
	if next.State != l.State || next.Module != l.Module {
		m.change(l, next, nil)
	}
	if late {
		m.tellState(l)
	}
	m.consider(l)
}

// expendable reports whether a leaf's messages may be dropped rather than hold up
// others: those of leaves that the cloud refuses.
func (m *Module) expendable(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.leaves[id]
	return l != nil && l.State == Refused
}

// dropOldest makes room in a leaf's lane, and reports whether it could.
func (m *Module) dropOldest(id string) bool {
	m.mu.Lock()
	l := m.leaves[id]
	if l == nil || l.lease == nil || l.busy {
		m.mu.Unlock()
		return false
	}
	l.busy = true
	lease := l.lease
	m.mu.Unlock()
	recs, _ := lease.Read(batchKept, 1)
	lease.Ack(recs...)
	m.counts.dropped.Add(uint64(len(recs)))
	m.mu.Lock()
	l.busy = false
	m.consider(l)
	m.mu.Unlock()
	return len(recs) > 0
}

// tidyEvery is how often leaves are looked over.
const tidyEvery = 30 * time.Second

// forgettable reports whether nothing is to be remembered of a leaf. [mu held]
func (l *leaf) forgettable(now time.Time) bool {
	if l.lease != nil || l.conn != nil || l.busy || l.queued {
		return false
	}
	switch l.State {
	case Deleted:
		return now.Sub(l.Since) > tidyEvery // what was acknowledged before is off the disk
	case Refused:
		return now.After(l.Due)
	}
	return false
}
