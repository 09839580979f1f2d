package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"unsafe"

	"github.com/cockroachdb/pebble/v2"
)

// A shared is data that several records have in common. The database has it once,
// under the sequence number of the first of them, until the last of them is removed.
//
// Until the database has them, its records point to one shared, and count down what is
// left of them. After that it is lost: a record may come back from the database with a
// shared of its own, and so who removes one looks in the database for others.
type shared struct {
	first uint64 // the records have consecutive sequence numbers from here
	size  int64  // of the data, plus Overhead
	n     int    // records there were
	left  int    // records whose removal this was not told of; the writer's alone
	lost  atomic.Bool

	bundled bool // a checkpoint has the data; the checkpointer's alone

	strands []*strand  // of the records, in order; nil if it was read back
	few     [3]*strand // room for them
	names   []byte     // of the strands, if it was read back, as they are stored
}

// maxSharing is how many records share data. What is stored with the data names them
// all, and should not be more than the data is.
const maxSharing = 16

// alike returns how many entries share the data of the first.
func alike(entries []Entry) int {
	data, n := entries[0].Data, 1
	for len(data) > 0 && n < min(len(entries), maxSharing) && same(entries[n].Data, data) {
		n++
	}
	return n
}

func same(a, b []byte) bool { return len(a) == len(b) && unsafe.SliceData(a) == unsafe.SliceData(b) }

// sizeOf is what entries count against Options.MaxBytes.
func sizeOf(entries []Entry) (bytes int64) {
	for len(entries) > 0 {
		n := alike(entries)
		bytes += entries[0].size()
		if n > 1 {
			bytes += int64(n) * Overhead
		}
		entries = entries[n:]
	}
	return bytes
}

// placeAlike places those of an op's entries from the first given that share their data,
// or one that does not, and returns how many they are.
func (s *Store) placeAlike(o *op, first int) (n int) {
	entries := o.entries[first:]
	n = alike(entries)
	var sh *shared
	if n > 1 {
		sh = o.newShared(s.commit.seq+1, n, entries[0].size())
	}
	for i := range entries[:n] {
		var before *strand // where the entry stands that is likely to be followed by this one
		if at := first + i - n; at >= 0 {
			before = o.placed[at].strand
		}
		p := s.placeEntry(&entries[i], before, sh)
		if o.placed[first+i] = p; sh != nil {
			sh.strands[i] = p.strand
		}
	}
	return n
}

// newShared returns a shared for n entries, of those that were made together for the op.
func (o *op) newShared(first uint64, n int, size int64) *shared {
	if len(o.shareds) == 0 {
		o.shareds = make([]shared, min(len(o.entries)/n, maxSharing))
	}
	sh := &o.shareds[0]
	o.shareds = o.shareds[1:]
	sh.init(first, n, size)
	return sh
}

func newShared(first uint64, n int, size int64) *shared {
	sh := new(shared)
	sh.init(first, n, size)
	return sh
}

func (sh *shared) init(first uint64, n int, size int64) {
	sh.first, sh.size, sh.n, sh.left = first, size, n, n
	if sh.strands = sh.few[:]; n > len(sh.few) {
		sh.strands = make([]*strand, n)
	}
	sh.strands = sh.strands[:n]
}

// release removes shared data if a removal takes the last of its records.
func (s *Store) release(r *removal) {
	sh := r.shared
	sh.left--
	switch {
	case sh.lost.Load():
		s.searchLater(r)
	case sh.left == 0:
		s.drop(sh.first, sh.size)
	}
}

// drop removes shared data. That of this epoch was never written anywhere but into the
// journal.
func (s *Store) drop(first uint64, size int64) {
	w := &s.commit
	if first <= w.epoch.base {
		w.epoch.dropped = append(w.epoch.dropped, first)
	} else {
		w.epoch.bytes -= size
	}
	w.held = w.held.minus(weigh(size, false))
	w.limits.used.Add(-size)
}

// lose notes that one of the records will not be removed by way of sh. A nil sh is
// nobody's.
func (sh *shared) lose() {
	if sh != nil {
		sh.lost.Store(true)
	}
}

// key appends the key of the record at a place.
func (sh *shared) key(b []byte, place int) []byte {
	seq := sh.first + uint64(place)
	if sh.strands != nil {
		return sh.strands[place].key.entry(b, seq)
	}
	name, names, _ := cutStrand(sh.names) // was checked as it was read
	for range place {
		name, names, _ = cutStrand(names)
	}
	b = append(append(b, keyEntry), name...)
	return binary.BigEndian.AppendUint64(b, seq)
}

// appendShared appends the value of shared data; see appendRecord.
func appendShared(b, key []byte, strands []*strand, data []byte) []byte {
	b = append(b, 0, 0, 0, 0, recordVersion, 0)
	names := 0
	for _, st := range strands {
		names += st.key.size()
	}
	b = binary.AppendUvarint(b, uint64(names))
	for _, st := range strands {
		b = st.key.appendTo(b)
	}
	b = append(b, data...)
	return seal(b, key)
}

// parseShared checks the value of shared data and splits it. The shared has parts of b.
func parseShared(b, key []byte) (sh *shared, data []byte, err error) {
	if err := unseal(b, key); err != nil {
		return nil, nil, err
	}
	first, err := parseSeqKey(key)
	if err != nil {
		return nil, nil, err
	}
	c := cursor{b: b[6:]}
	size := c.uvarint()
	if c.err != nil || size > uint64(len(c.b)) {
		return nil, nil, errValue
	}
	sh = &shared{first: first, names: c.b[:size:size], size: int64(len(c.b)) - int64(size) + Overhead}
	sh.lost.Store(true)
	for names := sh.names; len(names) > 0; sh.n++ {
		if _, names, err = cutStrand(names); err != nil {
			return nil, nil, errValue
		}
	}
	sh.left = sh.n
	return sh, c.b[size:], nil
}

// A sharedReader reads data that records share, as of when the records are seen. What
// it is asked for next is best after what it was asked for last.
type sharedReader struct {
	records *pebble.Iterator
	data    *pebble.Iterator // nil until something is asked for
}

func (r *sharedReader) close() {
	if r.data != nil {
		_ = r.data.Close() // read-only
	}
}

// at returns the data of a reference, in memory of its own.
func (r *sharedReader) at(first uint64, h header) (sh *shared, data []byte, err error) {
	if r.data == nil {
		r.data, err = r.records.Clone(pebble.CloneOptions{IterOptions: &pebble.IterOptions{
			LowerBound: []byte{keyShared}, UpperBound: []byte{keyShared + 1},
		}})
		if err != nil {
			return nil, nil, err
		}
	}
	key := seqKey(keyShared, first)
	if !r.data.SeekGE(key) || !slices.Equal(r.data.Key(), key) {
		return nil, nil, errors.Join(fmt.Errorf("shared data %d is missing", first), r.data.Error())
	}
	value, err := r.data.ValueAndErr()
	if err != nil {
		return nil, nil, err
	}
	sh, data, err = parseShared(slices.Clone(value), key)
	if err == nil && (uint64(len(data)) != h.size || h.index >= uint64(sh.n)) {
		err = errValue
	}
	return sh, data, err
}

// loadShared learns how much shared data the database holds, and whether a purge may
// have left some behind.
func (s *Store) loadShared() error {
	err := s.get([]byte{keyHeld}, func(value []byte) error {
		c := cursor{b: value}
		s.commit.held.n, s.commit.held.bytes = c.uvarint(), c.uvarint()
		return c.err
	})
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	s.commit.limits.used.Add(s.commit.held.own())
	err = s.get([]byte{keyPurged}, s.orphans.load)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	return nil
}
