package commands

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"time"

	"sluice/internal/hub/storage"
	"sluice/iot"
)

// errCorrupt says that stored bytes are none that this package wrote.
var errCorrupt = errors.New("corrupt record")

// A header is what is known of a command without its message.
type header struct {
	generation string // of the identity that it is for
	enqueued   time.Time
	expires    time.Time
	ack        ack
	messageID  string
	count      int // deliveries so far
}

// storedHeader is header's form on disk.
type storedHeader struct {
	Generation string    `json:"g"`
	Enqueued   time.Time `json:"q"`
	Expires    time.Time `json:"x"`
	Ack        ack       `json:"a"`
	MessageID  string    `json:"m"`
	Count      int       `json:"n"`
}

// appendRecord writes the length of the header, the header and the message.
func appendRecord(b []byte, h header, m *iot.Message) ([]byte, error) {
	text, err := json.Marshal(storedHeader{h.generation, h.enqueued, h.expires, h.ack, h.messageID, h.count})
	if err != nil {
		return nil, err
	}
	b = binary.AppendUvarint(b, uint64(len(text)))
	return m.AppendBinary(append(b, text...))
}

// parseRecord reads the header, and returns the bytes of the message.
func parseRecord(b []byte) (header, []byte, error) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) {
		return header{}, nil, errCorrupt
	}
	var h storedHeader
	if err := json.Unmarshal(b[size:size+int(n)], &h); err != nil {
		return header{}, nil, errCorrupt
	}
	return header{h.Generation, h.Enqueued, h.Expires, h.Ack, h.MessageID, h.Count}, b[size+int(n):], nil
}

// parseKey is the inverse of keyOf.
func parseKey(k []byte) (iot.Identity, uint64, error) {
	device, rest, ok := bytes.Cut(k[1:], []byte{0})
	module, number, ok2 := bytes.Cut(rest, []byte{0})
	if !ok || !ok2 || len(number) != 8 {
		return iot.Identity{}, 0, errCorrupt
	}
	return iot.Identity{Device: string(device), Module: string(module)}, binary.BigEndian.Uint64(number), nil
}

// ack says of which ends the sender wants to hear.
type ack byte

const (
	ackNone ack = iota
	ackPositive
	ackNegative
	ackFull
)

func parseAck(s string) (ack, bool) {
	switch s {
	case "", "none":
		return ackNone, true
	case "positive":
		return ackPositive, true
	case "negative":
		return ackNegative, true
	case "full":
		return ackFull, true
	}
	return 0, false
}

// result is how a command ended, in the words of feedback.
type result string

const (
	succeeded result = "Success"
	expired   result = "Expired"
	tooOften  result = "DeliveryCountExceeded"
	rejected  result = "Rejected"
	purged    result = "Purged"
	forgotten result = "" // with its identity: nobody is told
)

// wants reports whether the sender wants to hear of this end.
func (c *command) wants(r result) bool {
	switch {
	case r == forgotten:
		return false
	case r == succeeded:
		return c.ack == ackPositive || c.ack == ackFull
	}
	return c.ack == ackNegative || c.ack == ackFull
}

func (c *command) record(id iot.Identity, r result, now time.Time) storage.FeedbackRecord {
	return storage.FeedbackRecord{
		OriginalMessageID:  c.messageID,
		Description:        string(r),
		DeviceGenerationID: c.generation,
		DeviceID:           id.Device,
		ModuleID:           id.Module,
		EnqueuedTime:       now.UTC().Truncate(100), // as .NET has it, and reads it
		StatusCode:         string(r),
	}
}
