package spool

import (
	"encoding/binary"
	"fmt"
	"math"
)

// What a block of the journal has, see the package comment.
const (
	blockVersion = 2

	itemStrand  = 1
	itemEntry   = 2
	itemRemoval = 3
	itemDeath   = 4
	itemUndead  = 5
)

// Flags of an entry in a block.
const (
	entryExpires = 1 << iota
	entrySame    // has the data of the one before
	entryShares  // with the one before, what keeps that data
	entrySkips   // sequence numbers that were not used
)

// A blockWriter writes commits as blocks. It names a strand by its number from the
// second time on in one segment.
type blockWriter struct {
	b       []byte
	empty   int // length of b without an item
	segment uint64
	numbers uint64 // strands with a number in this segment
	began   bool   // the segment has a block

	seq    uint64 // of the entry before, or the one to begin with
	gone   uint64 // of the removal before
	data   []byte // of the entry before
	shared *shared
}

// begin begins a block in b, which has the journal's room in front, for a segment.
func (w *blockWriter) begin(b []byte, stored int64, segment uint64) {
	if segment != w.segment {
		w.segment, w.numbers, w.began = segment, 0, false
	}
	first := byte(1)
	if w.began {
		first = 0
	}
	b = append(b, blockVersion, first)
	w.b = binary.BigEndian.AppendUint64(b, uint64(stored))
	w.empty = len(w.b)
	w.seq, w.gone, w.data, w.shared = 0, 0, nil, nil
}

// end returns the block, or one without length if nothing was added.
func (w *blockWriter) end() (block []byte) {
	block, w.b = w.b, nil
	w.data, w.shared = nil, nil
	if len(block) == w.empty {
		return block[:0]
	}
	w.began = true
	return block
}

// add writes what an op puts in and takes out.
func (w *blockWriter) add(o *op) {
	for i := range o.placed {
		w.addEntry(&o.placed[i])
	}
	for i := range o.removals {
		if r := &o.removals[i]; r.counts {
			w.addRemoval(r)
		}
	}
	for _, seq := range o.undead {
		w.b = binary.AppendUvarint(append(w.b, itemUndead), seq)
	}
}

// number returns what the strand is called in this segment, and says so first if need
// be.
func (w *blockWriter) number(st *strand) uint64 {
	if st.segment != w.segment {
		w.b = st.key.append(w.b, itemStrand)
		st.segment, st.number = w.segment, w.numbers
		w.numbers++
	}
	return st.number
}

func (w *blockWriter) addEntry(p *placed) {
	number := w.number(p.strand)
	var flags byte
	if !p.entry.Expires.IsZero() {
		flags |= entryExpires
	}
	if len(w.data) > 0 && same(w.data, p.entry.Data) {
		flags |= entrySame
	}
	if p.shared != nil && p.shared == w.shared {
		flags |= entryShares
	}
	if p.seq != w.seq+1 {
		flags |= entrySkips
	}
	b := binary.AppendUvarint(append(w.b, itemEntry, flags), number)
	if flags&entrySkips != 0 {
		b = binary.AppendUvarint(b, p.seq)
	}
	if flags&entryExpires != 0 {
		b = binary.BigEndian.AppendUint64(b, uint64(millis(p.entry.Expires)))
	}
	if flags&entrySame == 0 {
		b = binary.AppendUvarint(b, uint64(len(p.entry.Data)))
		b = append(b, p.entry.Data...)
	}
	w.b, w.seq, w.data, w.shared = b, p.seq, p.entry.Data, p.shared
}

func (w *blockWriter) addRemoval(r *removal) {
	number := w.number(r.strand)
	item := byte(itemRemoval)
	if r.letter != nil {
		item = itemDeath
	}
	b := binary.AppendUvarint(append(w.b, item), number)
	b = binary.AppendVarint(b, int64(r.seq-w.gone))
	b = binary.AppendUvarint(b, r.tally.bytes)
	place := uint64(0)
	if r.shared != nil {
		place = 1 + r.seq - r.shared.first
	}
	b = binary.AppendUvarint(b, place)
	if l := r.letter; l != nil {
		b = binary.BigEndian.AppendUint64(b, uint64(millis(l.Stored)))
		b = binary.BigEndian.AppendUint64(b, uint64(millis(l.Expires)))
		b = binary.BigEndian.AppendUint64(b, uint64(millis(l.Died)))
		b = appendName(b, l.Reason)
		b = binary.AppendUvarint(b, uint64(len(l.Data)))
		b = append(b, l.Data...)
	}
	w.b, w.gone = b, r.seq
}

// A blockReader reads the blocks of a journal.
type blockReader struct {
	strand  func(strandKey) *strand // that has a key
	numbers []*strand
}

// A readBlock is what a block says.
type readBlock struct {
	stored   int64 // Unix milliseconds
	entries  []readEntry
	removals []readRemoval
	undead   []uint64
}

type readEntry struct {
	Entry
	strand *strand
	seq    uint64
	shares bool // with the one before
}

type readRemoval struct {
	strand *strand
	seq    uint64
	size   int64
	place  uint64 // 0: its data is its own; or that among those that share it, plus 1
	letter *DeadLetter
}

// read reads a block. What it returns has parts of it.
func (r *blockReader) read(block []byte) (*readBlock, error) {
	c := cursor{b: block}
	if head := c.take(2); c.err != nil || head[0] != blockVersion {
		return nil, errVersion
	} else if head[1] == 1 {
		r.numbers = nil
	}
	out := &readBlock{stored: c.int64()}
	var seq, gone uint64
	for len(c.b) > 0 && c.err == nil {
		switch item := c.take(1)[0]; item {
		case itemStrand:
			r.numbers = append(r.numbers, r.strand(strandKey{c.name(), c.name(), c.uint32()}))
		case itemEntry:
			seq = r.readEntry(&c, out, seq)
		case itemRemoval, itemDeath:
			gone = r.readRemoval(&c, out, gone, item == itemDeath)
		case itemUndead:
			out.undead = append(out.undead, c.uvarint())
		default:
			return nil, fmt.Errorf("%w: item %d", errValue, item)
		}
	}
	return out, c.err
}

// numbered returns the strand of a number.
func (r *blockReader) numbered(c *cursor) *strand {
	n := c.uvarint()
	if c.err == nil && n >= uint64(len(r.numbers)) {
		c.err = errValue
	}
	if c.err != nil {
		return nil
	}
	return r.numbers[n]
}

func (r *blockReader) readEntry(c *cursor, out *readBlock, before uint64) (seq uint64) {
	flags := c.take(1)[0]
	e := readEntry{strand: r.numbered(c), seq: before + 1}
	if flags&entrySkips != 0 {
		e.seq = c.uvarint()
	}
	if flags&entryExpires != 0 {
		e.Expires = fromMillis(c.int64())
	}
	var last *readEntry
	if n := len(out.entries); n > 0 {
		last = &out.entries[n-1]
	}
	switch {
	case flags&entrySame == 0:
		e.Data = c.data()
	case last != nil:
		e.Data, e.shares = last.Data, flags&entryShares != 0
	default:
		c.err = errValue
	}
	if c.err == nil && (e.seq <= before || e.shares && e.seq != before+1) {
		c.err = errValue
	}
	if c.err == nil {
		e.Queue, e.Lane, e.Priority = e.strand.key.queue, e.strand.key.lane, e.strand.key.priority
		out.entries = append(out.entries, e)
	}
	return e.seq
}

func (r *blockReader) readRemoval(c *cursor, out *readBlock, before uint64, died bool) (seq uint64) {
	g := readRemoval{strand: r.numbered(c)}
	g.seq = before + uint64(c.varint())
	size := c.uvarint()
	g.size, g.place = int64(size), c.uvarint()
	if c.err == nil && (size < Overhead || size > MaxData+Overhead || g.place > maxSharing || g.place > g.seq) {
		c.err = errValue
	}
	if died {
		l := &DeadLetter{Seq: g.seq, Stored: fromMillis(c.int64()), Expires: fromMillis(c.int64()), Died: fromMillis(c.int64())}
		l.Reason, l.Data = c.name(), c.data()
		g.letter = l
	}
	if c.err != nil {
		return 0
	}
	if key := &g.strand.key; g.letter != nil {
		g.letter.Queue, g.letter.Lane, g.letter.Priority = key.queue, key.lane, key.priority
	}
	out.removals = append(out.removals, g)
	return g.seq
}

// data reads a length, and so many bytes.
func (c *cursor) data() []byte {
	n := c.uvarint()
	if c.err == nil && n > min(uint64(len(c.b)), math.MaxInt32) {
		c.err = errValue
	}
	if c.err != nil {
		return nil
	}
	return c.take(int(n))
}

func (c *cursor) varint() int64 {
	v, n := binary.Varint(c.b)
	if n <= 0 {
		c.err = errValue
		return 0
	}
	c.b = c.b[n:]
	return v
}
