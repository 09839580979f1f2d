package spool

import "container/list"

// A window bounds the recent records that a queue keeps in memory. When it is
// full, the strand that has gone unread for longest leaves its own to the
// database: a lane that is not being drained makes room for those that are. It
// is guarded by Queue.mu.
type window struct {
	max  int64
	used int64
	held list.List // of *strand with recent records, the last read first
}

// admit makes room for a record of st, and reports whether there is.
func (w *window) admit(st *strand, size int64) bool {
	if st.recentBytes+size > w.max/2 {
		return false
	}
	for w.used+size > w.max {
		if !w.evictOther(st) {
			return false
		}
	}
	return true
}

// trim keeps the window's bound after st was read from the database.
func (w *window) trim(st *strand) {
	for w.used > w.max && w.evictOther(st) {
	}
}

// evictOther evicts the strand that was read longest ago, other than st.
func (w *window) evictOther(st *strand) bool {
	e := w.held.Back()
	if e != nil && e.Value.(*strand) == st {
		e = e.Prev()
	}
	if e == nil {
		return false
	}
	e.Value.(*strand).evict()
	return true
}

// add counts a record into a strand's recent ones.
func (w *window) add(st *strand, size int64) {
	w.used += size
	st.recentBytes += size
	if st.inWindow == nil {
		st.inWindow = w.held.PushFront(st)
	}
}

// sub counts bytes out of a strand's recent ones, which were just read or are
// being left to the database.
func (w *window) sub(st *strand, size int64) {
	w.used -= size
	st.recentBytes -= size
	if st.inWindow == nil {
		return
	}
	if len(st.recent) > 0 {
		w.held.MoveToFront(st.inWindow)
		return
	}
	w.held.Remove(st.inWindow)
	st.inWindow = nil
}
