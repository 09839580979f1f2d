package spool

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

const (
	recordVersion = 1
	flagExpires   = 1 << 0
	flagShares    = 1 << 1 // the odometer has a third number
	flagReference = 1 << 2 // the data is elsewhere
)

var (
	castagnoli  = crc32.MakeTable(crc32.Castagnoli)
	errValue    = errors.New("malformed value")
	errChecksum = errors.New("checksum mismatch")
	errVersion  = errors.New("value of an unknown version")
)

// A tally counts records and their bytes.
type tally struct {
	n      uint64
	bytes  uint64 // data plus Overhead each
	shared uint64 // of these bytes, those of data that is kept elsewhere
}

// weigh is the tally of one record.
func weigh(size int64, shared bool) tally {
	t := tally{n: 1, bytes: uint64(size)}
	if shared {
		t.shared = t.bytes - Overhead
	}
	return t
}

func (t tally) plus(u tally) tally {
	return tally{t.n + u.n, t.bytes + u.bytes, t.shared + u.shared}
}

func (t tally) minus(u tally) tally {
	return tally{t.n - u.n, t.bytes - u.bytes, t.shared - u.shared}
}

// own is the bytes without those that are kept elsewhere.
func (t tally) own() int64 { return int64(t.bytes - t.shared) }

func (t tally) atMost(u tally) bool {
	return t.n <= u.n && t.bytes <= u.bytes && t.shared <= u.shared
}

// A header is what a stored record says of itself besides its data.
type header struct {
	stored  int64 // Unix milliseconds
	expires int64 // Unix milliseconds; 0 never
	before  tally // the strand's odometer before this record

	reference bool   // the data is shared
	index     uint64 // of a reference: its place among those that share the data
	size      uint64 // of a reference: the data's
}

// appendRecord appends a record's value. b must be empty but for capacity; key is
// the key it will be stored under.
func appendRecord(b, key []byte, h header, data []byte) []byte {
	b = append(b, 0, 0, 0, 0, recordVersion, 0)
	b = binary.BigEndian.AppendUint64(b, uint64(h.stored))
	if h.expires != 0 {
		b[5] |= flagExpires
		b = binary.BigEndian.AppendUint64(b, uint64(h.expires))
	}
	b = binary.AppendUvarint(b, h.before.n)
	b = binary.AppendUvarint(b, h.before.bytes)
	if h.before.shared != 0 {
		b[5] |= flagShares
		b = binary.AppendUvarint(b, h.before.shared)
	}
	if h.reference {
		b[5] |= flagReference
		b = binary.AppendUvarint(b, h.index)
		b = binary.AppendUvarint(b, h.size)
	}
	b = append(b, data...)
	return seal(b, key)
}

// parseRecord checks a record's value and splits it. The data is a part of b; a
// reference has none.
func parseRecord(b, key []byte) (h header, data []byte, err error) {
	if err := unseal(b, key); err != nil {
		return h, nil, err
	}
	flags, c := b[5], cursor{b: b[6:]}
	h.stored = c.int64()
	if flags&flagExpires != 0 {
		h.expires = c.int64()
	}
	h.before.n, h.before.bytes = c.uvarint(), c.uvarint()
	if flags&flagShares != 0 {
		h.before.shared = c.uvarint()
	}
	if h.reference = flags&flagReference != 0; h.reference {
		h.index, h.size = c.uvarint(), c.uvarint()
		if c.err == nil && (len(c.b) != 0 || h.size > MaxData) {
			return h, nil, errValue
		}
	}
	return h, c.b, c.err
}

// seal fills in the checksum that the first four bytes of b have room for.
func seal(b, key []byte) []byte {
	binary.BigEndian.PutUint32(b, checksum(b, key))
	return b
}

func unseal(b, key []byte) error {
	switch {
	case len(b) < 6:
		return errValue
	case binary.BigEndian.Uint32(b) != checksum(b, key):
		return errChecksum
	case b[4] != recordVersion:
		return errVersion
	}
	return nil
}

func checksum(b, key []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, b[4:])
}

// tallies is what the tally key of a strand holds.
type tallies struct {
	put, taken tally
}

func (t tallies) append(b []byte) []byte {
	for _, v := range [...]uint64{t.put.n, t.put.bytes, t.taken.n, t.taken.bytes} {
		b = binary.AppendUvarint(b, v)
	}
	if t.put.shared != 0 {
		b = binary.AppendUvarint(b, t.put.shared)
		b = binary.AppendUvarint(b, t.taken.shared)
	}
	return b
}

func parseTallies(b []byte) (t tallies, err error) {
	c := cursor{b: b}
	t.put.n, t.put.bytes = c.uvarint(), c.uvarint()
	t.taken.n, t.taken.bytes = c.uvarint(), c.uvarint()
	if len(c.b) > 0 {
		t.put.shared, t.taken.shared = c.uvarint(), c.uvarint()
	}
	if c.err == nil && (len(c.b) != 0 || !t.taken.atMost(t.put)) {
		return t, errValue
	}
	return t, c.err
}

// A cursor reads a value from the front; the first failure sticks.
type cursor struct {
	b   []byte
	err error
}

func (c *cursor) take(n int) []byte {
	if c.err != nil || len(c.b) < n {
		c.err = errValue
		return make([]byte, n)
	}
	b := c.b[:n]
	c.b = c.b[n:]
	return b
}

func (c *cursor) int64() int64   { return int64(binary.BigEndian.Uint64(c.take(8))) }
func (c *cursor) uint32() uint32 { return binary.BigEndian.Uint32(c.take(4)) }

func (c *cursor) uvarint() uint64 {
	v, n := binary.Uvarint(c.b)
	if n <= 0 {
		c.err = errValue
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) name() string {
	s, rest, err := cutName(c.b)
	if err != nil {
		c.err = errValue
		return ""
	}
	c.b = rest
	return s
}
