package spool

import (
	"cmp"
	"encoding/binary"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// A checkpoint is an epoch on its way to the database: what of it still matters. From
// its beginning on, nothing of it changes.
type checkpoint struct {
	epoch
	segment uint64 // of the journal, which ends with the epoch
	seq     uint64 // last used
	held    tally
	task    task
	changes []change
	bundles []bundle // data that records share, in order
	purge   *Queue   // not nil: all that it holds is removed

	applied chan struct{} // closed when the database has it, or never will
	durable chan struct{} // closed when it has it for good, or never will
}

// What the writer knows of the last checkpoint that it began.
type underway struct {
	removed          map[uint64]struct{} // as in epoch
	applied, durable <-chan struct{}     // as in checkpoint; nil: there was none
}

// A change is what a checkpoint does to a strand.
type change struct {
	strand  *strand
	young   []*young
	removed []uint64
	tallies tallies
	tally   tallyChange
	last    uint64 // of the strand's sequence numbers, so far
}

type tallyChange uint8

const (
	tallyStays tallyChange = iota
	tallySet
	tallyDeleted
)

// advance begins a checkpoint if one is due, and waits for the one before if the epoch
// has grown too much meanwhile. On a full disk it waits for nothing: entries are to be
// refused, and what is acknowledged to be removed.
func (s *Store) advance() {
	e := &s.commit.epoch
	for s.due() && s.Err() == nil {
		full := s.space.low()
		switch {
		case s.commit.sealed.over() && (!full || s.journal.Ready()):
			s.seal(nil)
			return
		case full || e.part(s.opt.JournalBytes) < most:
			return
		}
		select {
		case <-s.commit.sealed.applied:
		case <-s.failed:
		case <-time.After(checkEvery):
		}
	}
}

// due reports whether a checkpoint should take the epoch.
func (s *Store) due() bool { return s.commit.epoch.part(s.opt.JournalBytes) >= 1 }

// checkpointSoon has the database take what frees space there or in the journal.
func (s *Store) checkpointSoon() {
	s.submit(&op{settle: settleSoon, done: func(error) {}})
}

// settle has the database take all that was given to the journal, and waits for that.
func (s *Store) settle() {
	s.await(s.commit.sealed.applied)
	s.seal(nil)
	s.await(s.commit.sealed.applied)
}

// await waits for a checkpoint.
func (s *Store) await(done <-chan struct{}) {
	if done == nil {
		return
	}
	select {
	case <-done:
	case <-s.failed:
	}
}

// over reports whether the checkpoint is not under way any more.
func (u *underway) over() bool {
	if u.applied == nil {
		return true
	}
	select {
	case <-u.applied:
		return true
	default:
		return false
	}
}

// seal ends the epoch and begins its checkpoint, if there is anything in it. The one
// before is over.
func (s *Store) seal(purge *Queue) {
	w := &s.commit
	if w.epoch.empty() && purge == nil {
		return
	}
	cp := &checkpoint{
		epoch: w.epoch, segment: s.journal.Segment(), seq: w.seq, held: w.held,
		task: s.orphans.left(), purge: purge,
		applied: make(chan struct{}), durable: make(chan struct{}),
	}
	for _, st := range cp.strands {
		cp.changes = append(cp.changes, st.seal(cp.base))
	}
	w.sealed = underway{cp.removed, cp.applied, cp.durable}
	w.epoch = w.epoch.next(w.seq)
	if err := s.journal.Rotate(); err != nil {
		s.fail(&FatalError{Op: "journal", Err: err})
	}
	select {
	case s.checkpoints <- cp:
	case <-s.failed:
		cp.end()
	}
}

// seal returns what a checkpoint does to the strand.
func (st *strand) seal(base uint64) change {
	q := st.lane.q
	q.mu.Lock()
	defer q.mu.Unlock()
	c := change{
		strand: st, young: st.young.list()[st.findYoung(base+1):], removed: st.removed.begin(),
		tallies: tallies{st.put, st.taken}, last: st.last,
	}
	had := st.tallied
	st.tallied = st.taken.n > 0 && st.put.n != st.taken.n
	switch {
	case st.tallied:
		c.tally = tallySet
	case had:
		c.tally = tallyDeleted
	}
	if st.lane.gone {
		c = change{strand: st}
	}
	return c
}

// applyCheckpoints is the checkpointer: it brings checkpoints into the database. While
// one is on its way to the disk the next is prepared.
func (s *Store) applyCheckpoints() {
	var last *checkpoint
	var flushed <-chan struct{}
	for {
		select {
		case cp, ok := <-s.checkpoints:
			if !ok {
				s.retire(last, flushed)
				return
			}
			batch := cp.batch(s.db)
			s.retire(last, flushed)
			last, flushed = cp, s.apply(cp, batch)
		case <-flushed:
			s.retire(last, flushed)
			last, flushed = nil, nil
		}
	}
}

// apply brings a checkpoint into the database, and returns what is closed when it is
// there for good. Whatever becomes of it, nobody waits for ever: Pebble may end this
// goroutine rather than return, see [disk.FS.Database].
func (s *Store) apply(cp *checkpoint, batch *pebble.Batch) (flushed <-chan struct{}) {
	ended := true
	defer func() {
		if ended {
			cp.end()
		}
	}()
	err := s.db.Apply(batch, pebble.NoSync)
	if err == nil {
		_ = batch.Close() // only returns it to a pool
		for i := range cp.changes {
			cp.changes[i].end()
		}
		cp.nursery.close()
		s.dead.settle(cp.letters)
		close(cp.applied)
		flushed, err = s.db.AsyncFlush()
	}
	if err != nil {
		s.fail(&FatalError{Op: "checkpoint", Err: err})
		return nil
	}
	ended = false
	return flushed
}

// retire gives up the journal's segments with a checkpoint, and those before, when the
// database has it for good.
func (s *Store) retire(cp *checkpoint, flushed <-chan struct{}) {
	if cp == nil {
		return
	}
	defer cp.end()
	if !s.isFlushed(flushed) {
		return
	}
	if err := s.journal.Release(cp.segment); err != nil {
		s.fail(&FatalError{Op: "journal", Err: err})
	}
}

// isFlushed waits for a flush. It reports false when the store failed, or is being closed
// and there is no space: then the journal is still needed.
func (s *Store) isFlushed(flushed <-chan struct{}) bool {
	for flushed != nil && s.Err() == nil && (s.lifetime.Err() == nil || !s.space.short.Load()) {
		select {
		case <-flushed:
			return s.Err() == nil
		case <-s.failed:
		case <-time.After(checkEvery):
		}
	}
	return false
}

// end lets go who waits for the checkpoint.
func (cp *checkpoint) end() {
	for _, c := range []chan struct{}{cp.applied, cp.durable} {
		select {
		case <-c:
		default:
			close(c)
		}
	}
}

// end lets readers know that the database has the change.
func (c *change) end() {
	q := c.strand.lane.q
	q.mu.Lock()
	defer q.mu.Unlock()
	c.strand.graduate(c.last)
	c.strand.removed.end()
}

// size is about what the checkpoint takes as a batch.
func (cp *checkpoint) size() int {
	const ofRecord, ofRemoval = 96, 40 // besides the data
	size := 4 << 10
	for i := range cp.changes {
		size += len(cp.changes[i].removed) * ofRemoval
		for j := range cp.changes[i].young {
			if y := cp.changes[i].young[j]; y.shared == nil {
				size += len(y.data)
			}
			size += ofRecord
		}
	}
	for _, b := range cp.bundles {
		size += len(b.data) + ofRecord*b.shared.n
	}
	return size
}

// A bundle is data that records share.
type bundle struct {
	shared *shared
	data   []byte
}

// bundle finds the data that is to be written once for several records.
func (cp *checkpoint) bundle() {
	for i := range cp.changes {
		for j := range cp.changes[i].young {
			y := cp.changes[i].young[j]
			if y.shared != nil && !y.gone && !y.shared.bundled {
				y.shared.bundled = true
				cp.bundles = append(cp.bundles, bundle{y.shared, y.data})
			}
		}
	}
	slices.SortFunc(cp.bundles, func(a, b bundle) int { return cmp.Compare(a.shared.first, b.shared.first) })
}

// A batchWriter writes a checkpoint into a batch.
type batchWriter struct {
	*pebble.Batch
	key, value []byte
}

// set and the batch's other writers fail only on a batch that is committed or indexed,
// which these never are.
func (w *batchWriter) set(key, value []byte) { _ = w.Set(key, value, nil) }

// batch makes a batch of the checkpoint, as far as it can in the order of the keys: so
// Pebble need not sort it.
func (cp *checkpoint) batch(db *pebble.DB) *pebble.Batch {
	cp.bundle()
	b := db.NewBatchWithSize(cp.size())
	w := &batchWriter{Batch: b}
	if cp.purge != nil {
		for _, kind := range [...]byte{keyEntry, keyTally} {
			prefix := queuePrefix(kind, cp.purge.name)
			_ = b.DeleteRange(prefix, after(prefix), nil)
		}
	}
	w.fillLetters(cp)
	slices.SortStableFunc(cp.changes, func(a, b change) int { return a.strand.key.compare(&b.strand.key) })
	for i := range cp.changes {
		w.fillRecords(&cp.changes[i])
	}
	w.set([]byte{keyJournal}, binary.BigEndian.AppendUint64(nil, cp.segment))
	held := binary.AppendUvarint(nil, cp.held.n)
	w.set([]byte{keyHeld}, binary.AppendUvarint(held, cp.held.bytes))
	w.fillTask(cp.task)
	w.set([]byte{keySeq}, binary.BigEndian.AppendUint64(nil, cp.seq))
	for i := range cp.changes {
		w.fillTally(&cp.changes[i])
	}
	w.fillShared(cp)
	return b
}

// fillRecords writes the strand's records. None of those to be removed is among them.
func (w *batchWriter) fillRecords(c *change) {
	st := c.strand
	w.key = slices.Grow(st.key.append(w.key[:0], keyEntry), 8)
	for _, seq := range c.removed {
		_ = w.SingleDelete(binary.BigEndian.AppendUint64(w.key, seq), nil)
	}
	for _, y := range c.young {
		if y.gone {
			continue
		}
		h, data := header{stored: y.stored, expires: y.expires, before: y.before}, y.data
		if y.shared != nil {
			h.reference, h.index, h.size, data = true, y.seq-y.shared.first, uint64(len(data)), nil
		}
		key := binary.BigEndian.AppendUint64(w.key, y.seq)
		w.value = appendRecord(w.value[:0], key, h, data)
		w.set(key, w.value)
	}
}

// fillTally corrects the odometer of a strand that records were taken from.
func (w *batchWriter) fillTally(c *change) {
	w.key = c.strand.key.append(w.key[:0], keyTally)
	switch c.tally {
	case tallySet:
		w.value = c.tallies.append(w.value[:0])
		w.set(w.key, w.value)
	case tallyDeleted:
		_ = w.Delete(w.key, nil)
	}
}

// fillShared writes the data that the records share, and removes what records have
// shared. It is stored in the order of arrival: what comes never goes between what is
// there, so that Pebble need not merge it.
func (w *batchWriter) fillShared(cp *checkpoint) {
	for _, first := range cp.dropped {
		w.key = appendSeqKey(w.key[:0], keyShared, first)
		_ = w.SingleDelete(w.key, nil)
	}
	for _, b := range cp.bundles {
		w.key = appendSeqKey(w.key[:0], keyShared, b.shared.first)
		w.value = appendShared(w.value[:0], w.key, b.shared.strands, b.data)
		w.set(w.key, w.value)
	}
}

// fillTask writes down what is still to be looked at behind a purge.
func (w *batchWriter) fillTask(t task) {
	if t.done() {
		_ = w.Delete([]byte{keyPurged}, nil)
		return
	}
	value := binary.BigEndian.AppendUint64(nil, t.from)
	w.set([]byte{keyPurged}, binary.BigEndian.AppendUint64(value, t.to))
}

// fillLetters writes new dead letters, and removes those that went, new or not.
func (w *batchWriter) fillLetters(cp *checkpoint) {
	for _, l := range cp.letters {
		key := seqKey(keyDead, l.Seq)
		w.set(key, appendLetter(nil, key, l))
		w.set(seqKey(keyData, l.Seq), l.Data)
	}
	for _, seq := range cp.unburied {
		_ = w.Delete(seqKey(keyDead, seq), nil)
		_ = w.Delete(seqKey(keyData, seq), nil)
	}
}

// compare orders strands as the keys of their records are.
func (k *strandKey) compare(other *strandKey) int {
	return cmp.Or(
		cmp.Compare(len(k.queue), len(other.queue)), cmp.Compare(k.queue, other.queue),
		cmp.Compare(len(k.lane), len(other.lane)), cmp.Compare(k.lane, other.lane),
		cmp.Compare(k.priority, other.priority),
	)
}
