package journal

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/disk"
)

// segmentHead is how long a segment's first bytes are, ahead of its blocks.
const segmentHead = 40

const magic = "SLUICEJ1"

// A head is a segment's first bytes.
type head struct {
	number  uint64
	salt    salt
	written int64
}

// newHead is one with a salt of its own. It does not begin with a zero, so that zeros
// are nobody's and quickly passed over.
func newHead(number uint64, written int64) head {
	h := head{number: number, written: written}
	_, _ = rand.Read(h.salt[:]) // it does not return errors
	h.salt[0] |= 1
	return h
}

func (h head) encode() []byte {
	b := make([]byte, 0, segmentHead)
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint64(b, h.number)
	b = append(b, h.salt[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(h.written))
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return b[:segmentHead]
}

func decodeHead(b []byte) (h head, ok bool) {
	const sum = segmentHead - 8
	if string(b[:8]) != magic || crc32.Checksum(b[:sum], castagnoli) != binary.BigEndian.Uint32(b[sum:]) {
		return head{}, false
	}
	h = head{number: binary.BigEndian.Uint64(b[8:]), written: int64(binary.BigEndian.Uint64(b[24:]))}
	copy(h.salt[:], b[16:])
	return h, true
}

// A segment is one that is being written, or is going to be.
type segment struct {
	head
	file   vfs.File
	size   atomic.Int64 // written in this life
	rest   []byte       // of a block that waits for space
	length int64        // of the file when this life began
}

// bytes is what the file takes on disk.
func (s *segment) bytes() int64 { return max(s.length, s.size.Load()) }

// old is what is left of a segment when it has been written.
func (s *segment) old(name string) stored {
	return stored{name: name, number: s.number, length: s.bytes(), written: max(s.written, s.size.Load())}
}

// append writes a block, or what is left of one that waited, and makes it durable.
func (s *segment) append(block []byte) error {
	rest := s.rest
	if rest == nil {
		rest = s.seal(block)
	}
	if _, err := s.file.Write(rest); err != nil {
		return err
	}
	return s.settle(block)
}

// appendNow does the same unless it would wait for space.
func (s *segment) appendNow(block []byte) (waits bool, err error) {
	b := s.seal(block)
	n, waits, err := disk.WriteNow(s.file, b)
	if waits {
		s.rest = b[n:]
	}
	if waits || err != nil {
		return waits, err
	}
	return false, s.settle(block)
}

func (s *segment) seal(block []byte) []byte {
	return seal(block, s.salt, s.number, s.size.Load())
}

// settle makes a block durable that is written.
func (s *segment) settle(block []byte) error {
	s.rest = nil
	if err := s.file.SyncData(); err != nil {
		return err
	}
	s.size.Store(aligned(s.size.Load()) + blockHead + int64(len(block)-Header))
	return nil
}

// A stored file is a segment that is not being written, or a spare.
type stored struct {
	name    string
	number  uint64 // of a segment
	length  int64
	written int64 // how much, from the start, has been written at some time
}

const (
	suffix      = ".log" // with which disk.FS gives files their length
	sparePrefix = "spare-"
)

func segmentName(number uint64) string { return fmt.Sprintf("%012d", number) + suffix }

func spareName(n uint64) string { return sparePrefix + strconv.FormatUint(n, 10) + suffix }

// parseName says what a file in the directory is: a spare, or a segment, with a number.
func parseName(name string) (number uint64, spare, ok bool) {
	digits, ok := strings.CutSuffix(name, suffix)
	if !ok {
		return 0, false, false
	}
	digits, spare = strings.CutPrefix(digits, sparePrefix)
	number, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return 0, false, false
	}
	return number, spare, name == segmentName(number) || spare && name == spareName(number)
}
