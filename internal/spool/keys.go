package spool

import (
	"encoding/binary"
	"errors"
)

// The first byte of a key says what it is; see the package comment.
const (
	keySeq    = 's'
	keyEntry  = 'e'
	keyTally  = 't'
	keyShared = 'x'
	keyHeld   = 'n'
	keyPurged = 'o'
	keyDead   = 'd'
	keyData   = 'p'

	keyJournal = 'j'
)

var errKey = errors.New("malformed key")

// strandKey names a strand: all records of one queue, lane and priority.
type strandKey struct {
	queue, lane string
	priority    uint32
}

// is reports whether the strand is that of an entry.
func (k *strandKey) is(e *Entry) bool {
	return k.priority == e.Priority && k.queue == e.Queue && k.lane == e.Lane
}

func appendName(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}

func cutName(b []byte) (string, []byte, error) {
	if len(b) < 2 {
		return "", nil, errKey
	}
	n := int(binary.BigEndian.Uint16(b))
	if len(b) < 2+n {
		return "", nil, errKey
	}
	return string(b[2 : 2+n]), b[2+n:], nil
}

// queuePrefix begins every key of one kind in one queue, and no other's: names
// carry their length.
func queuePrefix(kind byte, queue string) []byte {
	return appendName([]byte{kind}, queue)
}

func (k strandKey) append(b []byte, kind byte) []byte {
	return k.appendTo(append(b, kind))
}

// appendTo appends the key of a strand without its kind.
func (k strandKey) appendTo(b []byte) []byte {
	b = appendName(b, k.queue)
	b = appendName(b, k.lane)
	return binary.BigEndian.AppendUint32(b, k.priority)
}

// size is the length of what appendTo appends.
func (k strandKey) size() int { return 2 + len(k.queue) + 2 + len(k.lane) + 4 }

// cutStrand splits off what appendTo has appended.
func cutStrand(b []byte) (strand, rest []byte, err error) {
	n := 0
	for range 2 { // the queue's name and the lane's
		if len(b) < n+2 {
			return nil, nil, errKey
		}
		n += 2 + int(binary.BigEndian.Uint16(b[n:]))
	}
	if n += 4; len(b) < n {
		return nil, nil, errKey
	}
	return b[:n], b[n:], nil
}

// entry appends the key of one record.
func (k strandKey) entry(b []byte, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(k.append(b, keyEntry), seq)
}

// parseStrand reads the key of a tally, or the part of a record's key before
// its sequence number, and returns what follows it.
func parseStrand(b []byte) (k strandKey, rest []byte, err error) {
	if len(b) < 1 {
		return k, nil, errKey
	}
	if k.queue, b, err = cutName(b[1:]); err != nil {
		return k, nil, err
	}
	if k.lane, b, err = cutName(b); err != nil {
		return k, nil, err
	}
	if len(b) < 4 {
		return k, nil, errKey
	}
	k.priority = binary.BigEndian.Uint32(b)
	return k, b[4:], nil
}

func parseEntry(b []byte) (k strandKey, seq uint64, err error) {
	k, rest, err := parseStrand(b)
	if err != nil || len(rest) != 8 {
		return k, 0, errKey
	}
	return k, binary.BigEndian.Uint64(rest), nil
}

// seqOf returns the sequence number that a record's key ends with.
func seqOf(key []byte) uint64 {
	if len(key) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64(key[len(key)-8:])
}

func seqKey(kind byte, seq uint64) []byte { return appendSeqKey(nil, kind, seq) }

func appendSeqKey(b []byte, kind byte, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(append(b, kind), seq)
}

func parseSeqKey(b []byte) (uint64, error) {
	if len(b) != 9 {
		return 0, errKey
	}
	return binary.BigEndian.Uint64(b[1:]), nil
}

// after returns the least key greater than every key that begins with prefix.
func after(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}
