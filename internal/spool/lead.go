package spool

import (
	"sync/atomic"
	"time"
)

// A sender whose next append comes so soon has not waited for the acknowledgement. Then,
// and when others append meanwhile, for so long nobody makes commits in the writer's
// place.
const (
	leadAgain = 20 * time.Microsecond
	leadRest  = 10 * time.Millisecond
)

// leading is what is known of who makes commits in the writer's place. But for rest it is
// guarded by the committer's mu.
type leading struct {
	rest atomic.Int64 // until when nobody does, as uptime tells it

	queue, lane string // of the last who did
	ended       time.Duration
}

var start = time.Now()

// uptime is a clock that does not jump.
func uptime() time.Duration { return time.Since(start) }

func (l *leading) rests() bool { return uptime() < time.Duration(l.rest.Load()) }

// begin reports whether who appends the entry may.
func (l *leading) begin(e *Entry) bool {
	now := uptime()
	if l.lane == e.Lane && l.queue == e.Queue && now-l.ended < leadAgain {
		l.relax(now)
		return false
	}
	l.queue, l.lane = e.Queue, e.Lane
	return true
}

// end notes whether others have appended meanwhile.
func (l *leading) end(company bool) {
	if l.ended = uptime(); company {
		l.relax(l.ended)
	}
}

func (l *leading) relax(now time.Duration) { l.rest.Store(int64(now + leadRest)) }

// lead makes a commit of what is in the inbox, in place of the writer, if nobody is at
// it: to wake the writer would take longer. What comes meanwhile is the writer's, and so
// is what has to wait for space on the disk.
//
// Who does it stands still meanwhile. A sender that has the next append at hand as soon
// as one is done would store one at a time, where the writer stores all that has come;
// and so would many, in turn. Then nobody does it for a while.
func (s *Store) lead(first *Entry) {
	w := &s.commit
	if w.leading.rests() || !w.mu.TryLock() {
		raise(s.inbox.now)
		return
	}
	if w.waiting == nil && !s.due() && w.leading.begin(first) {
		if ops := s.inbox.take(commitBytes, false); len(ops) > 0 {
			s.commitNow(s.begin(ops))
		}
		w.leading.end(s.inbox.pending() > 0)
	}
	more := w.waiting != nil || s.due()
	w.mu.Unlock()
	if more || !s.inbox.idle() {
		raise(s.inbox.now)
	}
}

// commitNow finishes a commit, or leaves it to the writer if the disk is full.
func (s *Store) commitNow(c *commit) {
	if len(c.block) == 0 || s.Err() != nil {
		s.finish(c, nil)
		return
	}
	waits, err := s.journal.AppendNow(c.block)
	if waits {
		s.commit.waiting = c
		return
	}
	s.finish(c, err)
}
