package spool

import (
	"sync"
	"time"

	"sluice/internal/spool/journal"
)

const commitBytes = 1 << 20 // of entries in one commit, about

// A committer is the writer's state: what the store holds once all that was given to
// the journal is durable. Only the writer touches it, but for limits.
type committer struct {
	mu     sync.Mutex // held by the writer, or who does its work
	limits   limits
	seq      uint64   // last used
	held     tally    // shared data in the store
	searches []search // for other records of shared data
	epoch    epoch
	sealed   underway
	blocks   blockWriter
	block    []byte // room for the next
}

// placed is where an entry went.
type placed struct {
	entry  *Entry
	strand *strand
	seq    uint64
	before tally
	shared *shared // nil if its data is its own
}

func (c *committer) init(opt Options) {
	c.limits.max.Store(opt.MaxBytes)
	c.limits.maxLane.Store(opt.MaxLaneBytes)
	c.block = make([]byte, journal.Header, 4<<10)
	c.epoch = c.epoch.next(0)
}

// write is the writer: it makes commits of what is in the inbox until the store
// closes. Acknowledgements wait for AckDelay, for company; an entry never waits.
func (s *Store) write() {
	defer close(s.checkpoints)
	delay := time.NewTimer(time.Hour)
	defer delay.Stop()
	for closing := false; !closing; {
		select {
		case <-s.inbox.now:
		case <-s.inbox.soon:
			delay.Reset(s.opt.AckDelay)
			select {
			case <-s.inbox.now:
			case <-delay.C:
			case <-s.lifetime.Done():
			}
		case <-s.lifetime.Done():
			closing = true
		}
		s.writeAll(closing)
	}
	s.writeLast()
}

// writeAll makes a commit of what is in the inbox, or many, until there is nothing.
func (s *Store) writeAll(many bool) {
	s.commit.mu.Lock()
	defer s.commit.mu.Unlock()
	for ops := s.inbox.take(commitBytes); len(ops) > 0; ops = s.inbox.take(commitBytes) {
		s.writeCommit(ops)
		if !many {
			break
		}
	}
	s.advance()
}

// lead makes a commit of what is in the inbox, in place of the writer, if nobody is at
// it: to wake the writer would take longer. What comes meanwhile is the writer's.
func (s *Store) lead() {
	if !s.commit.mu.TryLock() {
		raise(s.inbox.now)
		return
	}
	if e := &s.commit.epoch; !e.due() {
		if ops := s.inbox.take(commitBytes); len(ops) > 0 {
			s.writeCommit(ops)
		}
	}
	due := s.commit.epoch.due()
	s.commit.mu.Unlock()
	if due || !s.inbox.idle() {
		raise(s.inbox.now)
	}
}

// writeLast has the database take all that is in the journal. Without space, that is
// left to the next Open.
func (s *Store) writeLast() {
	if !s.space.short.Load() {
		s.settle()
	}
}

// writeCommit makes ops one atomic and durable write, publishes what it stored and calls
// back.
func (s *Store) writeCommit(ops []*op) {
	now := s.opt.Now()
	failure := s.Err()
	if failure == nil {
		failure = s.append(s.fill(ops, now))
	}
	var bytes int64
	for _, o := range ops {
		if o.err == nil {
			o.err = failure
		}
		if o.err == nil {
			s.publish(o, now)
		}
	}
	for _, o := range ops {
		bytes += o.bytes
		if o.done != nil {
			o.done(o.err)
		}
	}
	s.inbox.called(bytes)
	for _, o := range ops {
		s.inbox.reuse(o.removals)
	}
}

// append gives a block to the journal, if it has anything.
func (s *Store) append(block []byte) error {
	if len(block) == 0 {
		return s.Err()
	}
	s.commit.epoch.journal += int64(len(block))
	err := s.journal.Append(block)
	if cap(block) <= commitBytes {
		s.commit.block = block[:journal.Header]
	}
	if err != nil {
		s.fail(&FatalError{Op: "commit", Err: err})
		return s.Err()
	}
	s.syncs.Add(1)
	return nil
}

// fill makes a block of ops, except those that are refused.
func (s *Store) fill(ops []*op, now time.Time) (block []byte) {
	w := &s.commit
	w.blocks.begin(w.block, now.UnixMilli(), w.epoch.number)
	for _, o := range ops {
		switch {
		case o.err != nil:
		case len(o.undead) > 0 && !s.dead.has(o.undead):
			o.err = ErrNotFound
		case o.purge != nil:
			s.purge(o)
		case o.settle == settleSoon:
			if s.commit.sealed.over() {
				s.seal(nil)
			}
		case o.settle == settleNow:
			s.settle()
		default:
			if o.err = s.place(o); o.err == nil {
				s.account(o)
				w.blocks.add(o)
			}
		}
	}
	s.search()
	s.trim()
	return w.blocks.end()
}

// publish lets readers see what an op stored and removed.
func (s *Store) publish(o *op, now time.Time) {
	stored := now.UnixMilli()
	for i := range o.placed {
		p := &o.placed[i]
		q := p.strand.lane.q
		q.mu.Lock()
		q.counts.Appended++
		p.strand.publish(p.young(stored), len(o.placed)-i)
		q.offer(p.strand.lane)
		q.mu.Unlock()
	}
	for i := range o.removals {
		ln := o.removals[i].strand.lane
		ln.q.mu.Lock()
		ln.removed(1)
		if ln.gone {
			s.orphans.arrived()
		} else if ln.removing == 0 {
			ln.q.offer(ln)
		}
		ln.q.mu.Unlock()
	}
	if o.purge != nil {
		s.orphans.arrived()
	}
}
