package journal

import (
	"encoding/binary"
	"hash/crc32"
)

// Header is the room that a block given to [Journal.Append] has in front for the
// journal's own use, in bytes: for the block's header, and for zeros ahead of it up to
// an aligned offset.
const Header = blockHead + align

// MaxContent is how long a block may be without its Header, in bytes.
const MaxContent = 64 << 20

const (
	align     = 8
	blockHead = 16
	saltSize  = 8
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A salt tells a segment's blocks from all others.
type salt [saltSize]byte

// aligned returns the first offset from off on where a block may begin.
func aligned(off int64) int64 { return (off + align - 1) &^ (align - 1) }

// seal makes the room in front of a block its header, and returns what is to be written
// at the end of what was, which is at off.
func seal(block []byte, s salt, number uint64, off int64) []byte {
	at := aligned(off)
	from := Header - blockHead - int(at-off)
	clear(block[from : Header-blockHead])
	b := block[Header-blockHead:]
	copy(b, s[:])
	binary.BigEndian.PutUint32(b[12:], uint32(len(b)-blockHead))
	binary.BigEndian.PutUint32(b[8:], checksum(b, number, at))
	return block[from:]
}

// checksum is that of a block, header and content, of the segment with that number, at
// that offset.
func checksum(b []byte, number uint64, at int64) uint32 {
	var place [16]byte
	binary.BigEndian.PutUint64(place[:], number)
	binary.BigEndian.PutUint64(place[8:], uint64(at))
	crc := crc32.Update(0, castagnoli, place[:])
	crc = crc32.Update(crc, castagnoli, b[:8])
	return crc32.Update(crc, castagnoli, b[12:])
}

// contentLength returns the length that a header states, if it is one of the segment
// with that salt.
func contentLength(head []byte, s salt) (n int64, ok bool) {
	if salt(head) != s {
		return 0, false
	}
	return int64(binary.BigEndian.Uint32(head[12:])), true
}

// intact reports whether b, header and content, is what was written at that place.
func intact(b []byte, number uint64, at int64) bool {
	return binary.BigEndian.Uint32(b[8:]) == checksum(b, number, at)
}
