package eventlog

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"time"

	"sluice/internal/hub/storage"
	"sluice/iot"
)

// The first byte of a key says what it is; see the package comment.
const (
	keyFormat = 'f'
	keyMeta   = 'm'
	keyEvent  = 'e'
)

const (
	formatVersion = 1
	eventKeyLen   = 1 + 2 + 8
	headerLen     = 4 + 1 + 8 + 8 + 8
)

var (
	errKey    = errors.New("malformed key")
	errRecord = errors.New("malformed record")
	errSum    = errors.New("checksum does not match")

	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

func metaKey(partition int) []byte {
	return binary.BigEndian.AppendUint16([]byte{keyMeta}, uint16(partition))
}

func eventKey(partition int, sequence uint64) []byte {
	return appendEventKey(make([]byte, 0, eventKeyLen), partition, sequence)
}

func appendEventKey(b []byte, partition int, sequence uint64) []byte {
	b = append(b, keyEvent)
	b = binary.BigEndian.AppendUint16(b, uint16(partition))
	return binary.BigEndian.AppendUint64(b, sequence)
}

func parseEventKey(b []byte) (sequence uint64, err error) {
	if len(b) != eventKeyLen {
		return 0, errKey
	}
	return binary.BigEndian.Uint64(b[3:]), nil
}

// A mark is a place in a partition: that of the event with this sequence number,
// or of the one that will have it.
type mark struct {
	sequence uint64
	offset   uint64
	latest   int64 // highest enqueued time before it, Unix microseconds
}

func (m mark) appendMeta(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, m.sequence)
	b = binary.BigEndian.AppendUint64(b, m.offset)
	return binary.BigEndian.AppendUint64(b, uint64(m.latest))
}

func parseMeta(b []byte) (mark, error) {
	if len(b) != 24 {
		return mark{}, errRecord
	}
	return mark{
		sequence: binary.BigEndian.Uint64(b),
		offset:   binary.BigEndian.Uint64(b[8:]),
		latest:   int64(binary.BigEndian.Uint64(b[16:])),
	}, nil
}

// recordLen is what a message of n encoded bytes takes, and what offsets count.
func recordLen(n int) int { return eventKeyLen + headerLen + n }

// A header is what stands before the message in a record.
type header struct {
	source   storage.Source
	enqueued int64
	latest   int64
	offset   uint64
}

// putRecord fills value, which has room for exactly the header and the message.
func putRecord(value, key []byte, h header, message []byte) {
	value[4] = byte(h.source)
	binary.BigEndian.PutUint64(value[5:], uint64(h.enqueued))
	binary.BigEndian.PutUint64(value[13:], uint64(h.latest))
	binary.BigEndian.PutUint64(value[21:], h.offset)
	copy(value[headerLen:], message)
	binary.BigEndian.PutUint32(value, checksum(key, value[4:]))
}

func checksum(key, rest []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, rest)
}

// parseRecord checks a record and cuts it. message shares value's memory.
func parseRecord(key, value []byte) (h header, message []byte, err error) {
	if len(value) < headerLen {
		return h, nil, errRecord
	}
	if binary.BigEndian.Uint32(value) != checksum(key, value[4:]) {
		return h, nil, errSum
	}
	h = header{
		source:   storage.Source(value[4]),
		enqueued: int64(binary.BigEndian.Uint64(value[5:])),
		latest:   int64(binary.BigEndian.Uint64(value[13:])),
		offset:   binary.BigEndian.Uint64(value[21:]),
	}
	return h, value[headerLen:], nil
}

// parseEvent makes an Event with memory of its own.
func parseEvent(partition int, key, value []byte) (storage.Event, error) {
	sequence, err := parseEventKey(key)
	if err != nil {
		return storage.Event{}, err
	}
	h, body, err := parseRecord(key, value)
	if err != nil {
		return storage.Event{}, err
	}
	e := storage.Event{
		Partition: partition, Sequence: sequence, Offset: h.offset,
		Enqueued: time.UnixMicro(h.enqueued).UTC(), Source: h.source,
	}
	return e, e.Message.UnmarshalBinary(body)
}

// encode packs a batch: the messages one after the other, and where each ends.
func encode(batch []iot.Message) (data []byte, ends []int, err error) {
	size := 0
	for i := range batch {
		size += batch[i].Size() + 32
	}
	data, ends = make([]byte, 0, size), make([]int, len(batch))
	for i := range batch {
		if data, err = batch[i].AppendBinary(data); err != nil {
			return nil, nil, err
		}
		ends[i] = len(data)
	}
	return data, ends, nil
}
