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
	mu       sync.Mutex // held by the writer, or who does its work
	limits   limits
	seq      uint64   // last used
	held     tally    // shared data in the store
	searches []search // for other records of shared data
	epoch    epoch
	sealed   underway
	blocks   blockWriter
	waiting  *commit // for space on the disk
	leading  leading
	block    []byte   // room for the next
	placed   []placed // room for what the commit places
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
	w := &s.commit
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.waiting; c != nil {
		w.waiting = nil
		s.finish(c, s.journal.Append(c.block))
	}
	for ops := s.inbox.take(commitBytes, true); len(ops) > 0; ops = s.inbox.take(commitBytes, true) {
		c := s.begin(ops)
		s.finish(c, s.append(c.block))
		if !many {
			break
		}
	}
	s.advance()
}

// append gives a block to the journal, if it has anything.
func (s *Store) append(block []byte) error {
	if len(block) == 0 || s.Err() != nil {
		return nil
	}
	return s.journal.Append(block)
}

// writeLast has the database take all that is in the journal. Without space, that is
// left to the next Open.
func (s *Store) writeLast() {
	if !s.space.short.Load() {
		s.settle()
	}
}

// A commit is one atomic write.
type commit struct {
	ops   []*op
	now   time.Time
	block []byte // for the journal; empty if there is nothing to write
}

func (s *Store) begin(ops []*op) *commit {
	c := &commit{ops: ops, now: s.opt.Now()}
	if s.Err() == nil {
		c.block = s.fill(ops, c.now)
		s.commit.epoch.journal += int64(len(c.block))
	}
	return c
}

// finish publishes what a commit has stored, once it is durable or err says that it is
// not, and calls back.
func (s *Store) finish(c *commit, err error) {
	if err != nil {
		s.fail(&FatalError{Op: "commit", Err: err})
	}
	if len(c.block) > 0 {
		s.syncs.Add(1)
	}
	s.commit.reuse(c.block)
	failure := s.Err()
	var bytes int64
	for _, o := range c.ops {
		if o.err == nil {
			o.err = failure
		}
		if o.err == nil {
			s.publish(o, c.now)
		}
	}
	for _, o := range c.ops {
		bytes += o.bytes
		if o.done != nil {
			o.done(o.err)
		}
	}
	s.inbox.called(bytes)
	for _, o := range c.ops {
		s.inbox.reuse(o.removals)
	}
}

// reuse has the memory of a block, unless it is a large one, for the next.
func (c *committer) reuse(block []byte) {
	if cap(block) >= journal.Header && cap(block) <= commitBytes {
		c.block = block[:journal.Header]
	}
}

// fill makes a block of ops, except those that are refused.
func (s *Store) fill(ops []*op, now time.Time) (block []byte) {
	w := &s.commit
	clear(w.placed)
	w.placed = w.placed[:0]
	w.blocks.begin(w.block, now.UnixMilli(), w.epoch.number)
	for _, o := range ops {
		switch {
		case o.err != nil:
		case len(o.undead) > 0 && !s.dead.has(o.undead):
			o.err = ErrNotFound
		case o.purge != nil:
			s.purge(o)
		case o.settle == settleSoon:
			if w.sealed.over() && (w.epoch.removals > 0 || s.journal.Behind() > 0) {
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
		p.strand.publish(s.commit.epoch.nursery.next().set(p, stored), len(o.placed)-i)
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
