package spool

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/disk"
)

// Open opens the store in dir, and makes it when dir does not exist (its parent
// must) or is empty. The directory is for its owner only, and is locked until
// [Store.Close].
//
// It takes time by the number of lanes that hold records, not by the number of
// records. It returns a [*LockedError] when another process has the store, a
// [*ForeignError] when dir holds something else, a [*FormatError] when a newer
// program wrote it, and a [*DamagedError] when it cannot be trusted.
func Open(dir string, opt Options) (*Store, error) {
	opt.fill()
	s := &Store{
		dir: filepath.Clean(dir), opt: opt, log: opt.Logger,
		queues: make(map[string]*Queue),
		failed: make(chan struct{}), checkpoints: make(chan *checkpoint, 1),
	}
	s.lifetime, s.end = context.WithCancel(context.Background())
	s.fs = disk.New(opt.FS, disk.Options{Full: s.space.spent, Fail: s.fail, Ending: s.lifetime.Done()})
	s.inbox.init(opt.MaxPendingBytes)
	s.orphans.init()
	s.commit.init(opt)
	s.dead.init(opt)
	s.space = space{fs: opt.FS, dir: s.dir, log: s.log, minFree: opt.MinFree, ballast: opt.BallastBytes}
	if err := s.open(); err != nil {
		s.end()
		return nil, err
	}
	s.group.Go(s.write)
	s.group.Go(s.applyCheckpoints)
	s.group.Go(s.keep)
	s.group.Go(s.adopt)
	if s.journal.Behind() > 0 {
		s.checkpointSoon() // so that no more comes together, whatever becomes of this run
	}
	return s, nil
}

func (o *Options) fill() {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	orElse(&o.MaxPendingBytes, 64<<20)
	orElse(&o.JournalBytes, 16<<20)
	orElse(&o.WindowBytes, 2<<20)
	orElse(&o.MaxDead, 10_000)
	orElse(&o.MaxDeadBytes, 64<<20)
	orElse(&o.MinFree, 64<<20)
	orElse(&o.BallastBytes, 16<<20)
	orElse(&o.AckDelay, 2*time.Millisecond)
	orElse(&o.SweepEvery, 30*time.Second)
}

func orElse[T comparable](v *T, fallback T) {
	var zero T
	if *v == zero {
		*v = fallback
	}
}

func (s *Store) open() (err error) {
	h := home{fs: s.fs, dir: s.dir}
	s.space.find()
	if s.unlock, err = h.enter(); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = s.unlock() // the first error says more
		}
	}()
	settled, write, err := h.settled()
	if err != nil {
		return err
	}
	if s.db, err = s.openPebble(h.path("db"), settled); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = s.db.Close() // the first error says more
		}
	}()
	if err = s.load(); err != nil {
		return err
	}
	if err = s.replay(h.path("journal")); err != nil {
		return err
	}
	if write {
		err = errors.Join(s.fs.SyncDir(s.dir), h.settle())
	}
	s.space.restore()
	return err
}

func (s *Store) openPebble(dir string, settled bool) (*pebble.DB, error) {
	opt, done := pebbleOptions(s)
	defer done()
	opt.ErrorIfNotExists = settled
	db, err := s.fs.Database(dir, "spool", s.log, opt)
	failure := s.Err()
	switch {
	case failure != nil:
		return nil, failure
	case err == nil:
		return db, nil
	case errors.Is(err, pebble.ErrCorruption), errors.Is(err, pebble.ErrDBDoesNotExist),
		settled && errors.Is(err, fs.ErrNotExist):
		return nil, s.damaged(err)
	}
	return nil, fmt.Errorf("open spool %s: %w", s.dir, err)
}

// load learns what the database holds.
func (s *Store) load() error {
	err := s.get([]byte{keySeq}, func(value []byte) error {
		if len(value) != 8 {
			return errValue
		}
		s.commit.seq = binary.BigEndian.Uint64(value)
		return nil
	})
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	if err := s.loadStrands(); err != nil {
		return s.damaged(err)
	}
	if err := s.loadShared(); err != nil {
		return err
	}
	if err := s.loadDead(); err != nil {
		return s.damaged(err)
	}
	return nil
}

// loadStrands finds the strands by seeking from one to the next.
func (s *Store) loadStrands() error {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{keyEntry}, UpperBound: []byte{keyEntry + 1}})
	if err != nil {
		return err
	}
	for ok := it.First(); ok; {
		key, seq, err := parseEntry(it.Key())
		if err != nil {
			return errors.Join(err, it.Close())
		}
		if err := s.loadStrand(it, key, seq); err != nil {
			return errors.Join(err, it.Close())
		}
		ok = it.SeekGE(after(key.append(nil, keyEntry)))
	}
	return it.Close()
}

// loadStrand makes the strand whose first record it stands on.
func (s *Store) loadStrand(it *pebble.Iterator, key strandKey, first uint64) error {
	from, _, err := headerAt(it)
	if err != nil {
		return err
	}
	it.SeekLT(after(key.append(nil, keyEntry)))
	to, size, err := headerAt(it)
	if err != nil {
		return err
	}
	_, last, err := parseEntry(it.Key())
	if err != nil {
		return err
	}
	put, taken := to.before.plus(weigh(size, to.reference)), from.before
	var tallied bool
	err = s.get(key.append(nil, keyTally), func(value []byte) error {
		t, err := parseTallies(value)
		if t.put.n > put.n {
			put = t.put // the last records were taken
		}
		taken, tallied = t.taken, true
		return err
	})
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	if !taken.atMost(put) || taken.n == put.n || taken.bytes == put.bytes {
		return fmt.Errorf("lengths of queue %q, lane %q do not add up", key.queue, key.lane)
	}
	s.commit.limits.used.Add(put.minus(taken).own())
	q := s.Queue(key.queue)
	q.mu.Lock()
	defer q.mu.Unlock()
	st := q.lane(key.lane).strand(key.priority)
	st.put, st.taken, st.tallied, st.live = put, taken, tallied, put.minus(taken)
	st.behind, st.applied, st.last, st.perishable = first, last, last, true
	q.offer(st.lane)
	return nil
}

// headerAt reads the header and the size of the record that it stands on, with that
// of shared data.
func headerAt(it *pebble.Iterator) (header, int64, error) {
	if !it.Valid() {
		return header{}, 0, errors.Join(errKey, it.Error())
	}
	value, err := it.ValueAndErr()
	if err != nil {
		return header{}, 0, err
	}
	h, data, err := parseRecord(value, it.Key())
	return h, int64(len(data)) + int64(h.size) + Overhead, err
}

func (s *Store) loadDead() error {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{keyDead}, UpperBound: []byte{keyDead + 1}})
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return errors.Join(err, it.Close())
		}
		seq, err := parseSeqKey(it.Key())
		if err != nil {
			return errors.Join(err, it.Close())
		}
		_, size, err := parseLetter(value, it.Key())
		if err != nil {
			return errors.Join(err, it.Close())
		}
		s.dead.dig(seq, size+Overhead)
	}
	return it.Close()
}

// Close stores what is pending, calls back, and closes the store. Leases end;
// what they did not settle stays. It returns a [*FatalError] if the disk failed
// before or meanwhile.
func (s *Store) Close() error {
	s.reading.Lock()
	again := s.closed
	s.closed = true
	s.reading.Unlock()
	if again {
		return s.Err()
	}
	s.inbox.close(ErrClosed)
	for _, q := range s.allQueues() {
		q.shut(ErrClosed)
	}
	s.end()
	if s.Err() == nil {
		s.group.Wait()
	}
	if err := s.Err(); err != nil {
		// Pebble's own goroutines may be stuck behind the failure: the process is
		// about to exit, and only the lock is left to give back.
		return errors.Join(err, s.unlock())
	}
	err := disk.Caught(func() error {
		// A closed store is all tables; without space it is as after a crash.
		return errors.Join(s.journal.Close(), s.db.Close())
	})
	if err = errors.Join(err, s.Err(), s.unlock()); err != nil {
		return fmt.Errorf("close spool %s: %w", s.dir, err)
	}
	return nil
}

func (s *Store) allQueues() []*Queue {
	s.queuesMu.RLock()
	defer s.queuesMu.RUnlock()
	queues := make([]*Queue, 0, len(s.queues))
	for _, q := range s.queues {
		queues = append(queues, q)
	}
	return queues
}
