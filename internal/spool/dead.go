package spool

import (
	"encoding/binary"
	"errors"
	"sort"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// A DeadLetter is a record that could not be delivered for good.
type DeadLetter struct {
	Seq      uint64 // the record's own number; dead letters are listed by it
	Queue    string
	Lane     string
	Priority uint32
	Stored   time.Time
	Expires  time.Time // of the record; a dead letter does not expire
	Died     time.Time
	Reason   string
	Data     []byte
}

// DeadStats describe the dead letters of a store.
type DeadStats struct {
	Letters int
	Bytes   int64  // data plus Overhead each
	Dropped uint64 // oldest ones given up for newer ones, since Open
}

// A graveyard knows which dead letters the database holds. Only the writer adds
// and removes.
type graveyard struct {
	maxLetters int
	maxBytes   int64

	mu      sync.Mutex
	graves  []grave                // by seq
	fresh   map[uint64]*DeadLetter // those that the database may not have yet
	bytes   int64
	dropped uint64
}

type grave struct {
	seq  uint64
	size int64
}

func (g *graveyard) init(opt Options) {
	g.maxLetters, g.maxBytes = opt.MaxDead, opt.MaxDeadBytes
	g.fresh = make(map[uint64]*DeadLetter)
}

// DeadLetters returns up to max dead letters with their data, by Seq, beginning
// with the first above after.
func (s *Store) DeadLetters(after uint64, max int) ([]DeadLetter, error) {
	var out []DeadLetter
	for _, seq := range s.dead.list(after, max) {
		letter, err := s.deadLetter(seq)
		if errors.Is(err, ErrNotFound) {
			continue // went meanwhile
		}
		if err != nil {
			return out, err
		}
		out = append(out, letter)
	}
	return out, nil
}

// DeadStats returns how many dead letters there are.
func (s *Store) DeadStats() DeadStats {
	s.dead.mu.Lock()
	defer s.dead.mu.Unlock()
	return DeadStats{Letters: len(s.dead.graves), Bytes: s.dead.bytes, Dropped: s.dead.dropped}
}

// Requeue puts a dead letter back as the newest record of its queue, lane and
// priority, with the expiry given, and removes it from the dead letters, in one
// atomic write. It returns when that is durable, or with [ErrNotFound] or an
// error of [Store.Append].
func (s *Store) Requeue(seq uint64, expires time.Time) error {
	letter, err := s.deadLetter(seq)
	if err != nil {
		return err
	}
	e := Entry{Queue: letter.Queue, Lane: letter.Lane, Priority: letter.Priority, Expires: expires, Data: letter.Data}
	return s.do(&op{entries: []Entry{e}, bytes: e.size(), undead: []uint64{seq}})
}

// Bury removes dead letters for good. It returns when that is durable; with
// [ErrNotFound] if one of them is not there, and then none was removed.
func (s *Store) Bury(seqs ...uint64) error {
	return s.do(&op{undead: seqs})
}

// do gives an op to the writer and waits for it.
func (s *Store) do(o *op) error {
	wait := make(chan error, 1)
	o.done = func(err error) { wait <- err }
	s.submit(o)
	return <-wait
}

func (s *Store) deadLetter(seq uint64) (letter DeadLetter, err error) {
	s.reading.RLock()
	defer s.reading.RUnlock()
	if s.closed {
		return letter, ErrClosed
	}
	if fresh, ok := s.dead.isFresh(seq); ok {
		return fresh, nil
	}
	key := seqKey(keyDead, seq)
	err = s.get(key, func(value []byte) (err error) {
		letter, _, err = parseLetter(value, key)
		return err
	})
	if err != nil {
		return letter, err
	}
	letter.Seq = seq
	err = s.get(seqKey(keyData, seq), func(value []byte) error {
		letter.Data = append([]byte(nil), value...)
		return nil
	})
	return letter, err
}

// get calls f with the value at key.
func (s *Store) get(key []byte, f func([]byte) error) error {
	value, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return ErrNotFound
	}
	if err != nil {
		return s.damaged(err)
	}
	defer func() { _ = closer.Close() }() // read-only
	if err := f(value); err != nil {
		return s.damaged(err)
	}
	return nil
}

func (g *graveyard) list(after uint64, max int) (seqs []uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := g.find(after + 1); i < len(g.graves) && len(seqs) < max; i++ {
		seqs = append(seqs, g.graves[i].seq)
	}
	return seqs
}

// find returns the index of the first grave at or above seq. mu is held.
func (g *graveyard) find(seq uint64) int {
	return sort.Search(len(g.graves), func(i int) bool { return g.graves[i].seq >= seq })
}

func (g *graveyard) has(seqs []uint64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, seq := range seqs {
		if i := g.find(seq); i == len(g.graves) || g.graves[i].seq != seq {
			return false
		}
	}
	return true
}

func (l *DeadLetter) size() int64 { return int64(len(l.Data)) + Overhead }

// add takes a letter in that the database does not have yet.
func (g *graveyard) add(letter *DeadLetter) {
	g.dig(letter.Seq, letter.size())
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fresh[letter.Seq] = letter
}

func (g *graveyard) isFresh(seq uint64) (letter DeadLetter, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if l := g.fresh[seq]; l != nil {
		return *l, true
	}
	return letter, false
}

// settle notes that the database has letters.
func (g *graveyard) settle(letters []*DeadLetter) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, l := range letters {
		delete(g.fresh, l.Seq)
	}
}

func (g *graveyard) dig(seq uint64, size int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := g.find(seq)
	g.graves = append(g.graves, grave{})
	copy(g.graves[i+1:], g.graves[i:])
	g.graves[i] = grave{seq, size}
	g.bytes += size
}

// remove takes a letter out, and reports whether it was there.
func (g *graveyard) remove(seq uint64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := g.find(seq)
	if i == len(g.graves) || g.graves[i].seq != seq {
		return false // named twice in one call
	}
	g.bytes -= g.graves[i].size
	g.graves = append(g.graves[:i], g.graves[i+1:]...)
	delete(g.fresh, seq)
	return true
}

// over returns the oldest letter when there are more than the limits allow.
func (g *graveyard) over() (oldest uint64, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.graves) <= g.maxLetters && g.bytes <= g.maxBytes {
		return 0, false
	}
	g.dropped++
	return g.graves[0].seq, true
}

// trim gives up the oldest dead letters above the limits.
func (s *Store) trim() {
	for oldest, over := s.dead.over(); over; oldest, over = s.dead.over() {
		s.unbury(oldest)
	}
}

func appendLetter(b, key []byte, l *DeadLetter) []byte {
	b = append(b, 0, 0, 0, 0, recordVersion, 0)
	b = binary.BigEndian.AppendUint64(b, uint64(millis(l.Stored)))
	b = binary.BigEndian.AppendUint64(b, uint64(millis(l.Died)))
	if !l.Expires.IsZero() {
		b[5] |= flagExpires
		b = binary.BigEndian.AppendUint64(b, uint64(millis(l.Expires)))
	}
	b = binary.BigEndian.AppendUint32(b, l.Priority)
	b = appendName(b, l.Queue)
	b = appendName(b, l.Lane)
	b = appendName(b, l.Reason)
	b = binary.AppendUvarint(b, uint64(len(l.Data)))
	return seal(b, key)
}

func parseLetter(b, key []byte) (l DeadLetter, size int64, err error) {
	if err := unseal(b, key); err != nil {
		return l, 0, err
	}
	flags, c := b[5], cursor{b: b[6:]}
	l.Stored, l.Died = fromMillis(c.int64()), fromMillis(c.int64())
	if flags&flagExpires != 0 {
		l.Expires = fromMillis(c.int64())
	}
	l.Priority = c.uint32()
	l.Queue, l.Lane, l.Reason = c.name(), c.name(), c.name()
	size = int64(c.uvarint())
	if c.err == nil && (len(c.b) != 0 || size < 0 || size > MaxData) {
		return l, 0, errValue
	}
	return l, size, c.err
}
