package spool

import (
	"encoding/binary"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

const (
	commitBytes = 1 << 20 // of entries in one commit, about
	pipeline    = 2       // commits between writer and syncer
	seqReserve  = 1 << 20 // sequence numbers reserved at a time
)

// A committer is the writer's state: what the database will hold once all that
// was given to it is applied. Only the writer touches it, but for limits.
type committer struct {
	limits   limits
	seq      uint64 // last used
	reserved uint64 // a restart begins here
	commits  chan *commit

	held     tally               // shared data in the database
	removed  map[uint64]struct{} // records that the commit takes, if others have to look for them
	searches []search            // for others
	bundles  []*placed           // the first of the commit's records that share data, for each such data
	dropped  []uint64            // shared data that the commit takes
	strands  []*strand           // that the commit puts records into or takes some from
	key      []byte
	value    []byte
}

// A commit is one atomic write on its way to the disk.
type commit struct {
	ops     []*op
	batch   *pebble.Batch // nil when there is nothing to write
	now     time.Time
	reached chan struct{} // not nil: the writer waits until the syncer is done with it
}

// placed is where an entry went.
type placed struct {
	entry  *Entry
	strand *strand
	seq    uint64
	before tally
	shared *shared // nil if its data is its own
	next   *placed // of the strand, in the same commit
}

// write is the writer: it makes commits of what is in the inbox until the store
// closes. Acknowledgements wait for AckDelay, for company; an entry never waits.
func (s *Store) write() {
	defer close(s.commit.commits)
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
		for {
			ops := s.inbox.take(commitBytes)
			if len(ops) == 0 {
				break
			}
			s.writeCommit(ops)
			if !closing {
				break
			}
		}
	}
}

// writeCommit gives ops to Pebble in one batch and passes them on to the syncer.
func (s *Store) writeCommit(ops []*op) {
	c := &commit{ops: ops, now: s.opt.Now()}
	if s.failure.Load() == nil {
		c.batch = s.db.NewBatchWithSize(batchSize(ops))
		s.fill(c)
	}
	if c.batch != nil && c.batch.Empty() {
		_ = c.batch.Close() // nothing in it
		c.batch = nil
	}
	s.apply(c)
}

// batchSize is about what the batch of ops will take.
func batchSize(ops []*op) int {
	const ofEntry, ofRemoval = 96, 40 // besides the data
	size := 1 << 10
	for _, o := range ops {
		size += int(o.bytes) + len(o.entries)*ofEntry + len(o.removals)*ofRemoval
	}
	return size
}

// apply passes the commit on whatever becomes of it: Pebble may end this
// goroutine rather than return, see [disk.FS.Database].
func (s *Store) apply(c *commit) {
	var applied bool
	defer func() {
		if !applied {
			c.batch = nil // nobody will ever sync it
		}
		s.commit.commits <- c
	}()
	if c.batch == nil {
		return
	}
	if err := s.db.ApplyNoSyncWait(c.batch, pebble.Sync); err != nil {
		s.fail(&FatalError{Op: "commit", Err: err})
		return
	}
	applied = true
}

// fill puts ops into the batch, except those that are refused.
func (s *Store) fill(c *commit) {
	held := s.commit.held
	clear(s.commit.removed)
	for _, o := range c.ops {
		switch {
		case o.err != nil:
		case len(o.undead) > 0 && !s.dead.has(o.undead):
			o.err = ErrNotFound
		case o.purge != nil:
			s.drain()
			s.fillPurge(c, o)
		default:
			if o.err = s.place(o); o.err == nil {
				s.chain(o)
				s.unchain(c.batch, o)
			}
		}
	}
	s.search()
	s.fillStrands(c)
	s.fillShared(c)
	if cap(s.commit.value) > commitBytes {
		s.commit.value = nil
	}
	if s.commit.held != held {
		s.fillHeld(c.batch)
	}
	s.dead.trim(c.batch)
	if s.commit.seq >= s.commit.reserved {
		s.commit.reserved = s.commit.seq + seqReserve
		s.set(c.batch, []byte{keySeq}, binary.BigEndian.AppendUint64(nil, s.commit.reserved))
	}
}

// drain waits until the syncer is done with every commit so far.
func (s *Store) drain() {
	barrier := &commit{reached: make(chan struct{})}
	s.commit.commits <- barrier
	<-barrier.reached
}

// set and the batch's other writers fail only on a batch that is committed or
// indexed, which these never are.
func (s *Store) set(b *pebble.Batch, key, value []byte) { _ = b.Set(key, value, nil) }

// place decides whether an op's entries are stored, and where.
func (s *Store) place(o *op) error {
	if len(o.entries) == 0 {
		return nil
	}
	if s.space.low() {
		return ErrNoSpace
	}
	if err := s.commit.limits.admit(o.bytes); err != nil {
		return err
	}
	o.placed = make([]placed, len(o.entries))
	for i := 0; i < len(o.entries); {
		i += s.placeAlike(o, i)
	}
	if s.commit.limits.lanes() && s.anyLaneFull(o) {
		s.unplace(o)
		return ErrLaneFull
	}
	return nil
}

// placeEntry gives an entry its place, which is in the strand given if that is the one;
// it is nil or has an entry of the same op.
func (s *Store) placeEntry(e *Entry, st *strand, shared *shared) placed {
	if st != nil && st.key.is(e) {
		st.lane.q.mu.Lock()
		defer st.lane.q.mu.Unlock()
	} else {
		q := s.Queue(e.Queue)
		q.mu.Lock()
		defer q.mu.Unlock()
		st = q.lane(e.Lane).strand(e.Priority)
	}
	s.commit.seq++
	p := placed{entry: e, strand: st, seq: s.commit.seq, before: st.put, shared: shared}
	st.put = st.put.plus(weigh(e.size(), shared != nil))
	return p
}

func (s *Store) anyLaneFull(o *op) bool {
	for i := range o.placed {
		ln := o.placed[i].strand.lane
		ln.q.mu.Lock()
		full := s.commit.limits.laneFull(ln)
		ln.q.mu.Unlock()
		if full {
			return true
		}
	}
	return false
}

// unplace undoes place. Sequence numbers stay used.
func (s *Store) unplace(o *op) {
	s.commit.limits.used.Add(-o.bytes)
	for i := range o.placed {
		st, q := o.placed[i].strand, o.placed[i].strand.lane.q
		q.mu.Lock()
		st.put = st.put.minus(weigh(o.entries[i].size(), o.placed[i].shared != nil))
		q.forget(st.lane)
		q.mu.Unlock()
	}
	o.placed = nil
}

// fillPurge removes all that a queue holds. The syncer is idle, so no record of
// the queue is between the database and its lane.
func (s *Store) fillPurge(c *commit, o *op) {
	for _, kind := range [...]byte{keyEntry, keyTally} {
		prefix := queuePrefix(kind, o.purge.name)
		_ = c.batch.DeleteRange(prefix, after(prefix), nil)
	}
	records, bytes, removing := o.purge.clear()
	o.purged = records
	s.commit.limits.used.Add(-bytes)
	s.fillOrphaned(c.batch, removing)
}

// sync is the syncer: it waits for each commit's fsync, publishes what it stored
// and calls back, in order.
func (s *Store) sync() {
	for c := range s.commit.commits {
		if c.reached != nil {
			close(c.reached)
			continue
		}
		s.finish(c)
	}
}

func (s *Store) finish(c *commit) {
	if c.batch != nil {
		if err := c.batch.SyncWait(); err != nil {
			s.fail(&FatalError{Op: "commit", Err: err})
		} else {
			s.syncs.Add(1)
			_ = c.batch.Close() // only returns it to a pool
		}
	}
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

// publish lets readers see what an op stored and removed.
func (s *Store) publish(o *op, now time.Time) {
	stored := fromMillis(now.UnixMilli())
	for i := range o.placed {
		e, p := &o.entries[i], &o.placed[i]
		q := p.strand.lane.q
		q.mu.Lock()
		q.counts.Appended++
		p.strand.publish(Record{
			Priority: e.Priority, Stored: stored, Expires: fromMillis(millis(e.Expires)),
			Data: e.Data, seq: p.seq, strand: p.strand, shared: p.shared,
		}, len(o.placed)-i)
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
