package amqp10

import (
	"sluice/amqp10/internal/frame"
	"sluice/amqp10/internal/wire"
)

// FormatBatch is the message format of a batch: each data section is one
// encoded message. It is Microsoft's, and follows no standard.
const FormatBatch uint32 = 0x80013700

// AppendBatch appends one encoded message to the batch in b. The first part of
// a batch may be sections of a message of their own, such as annotations for
// the batch as a whole.
func AppendBatch(b, encoded []byte) []byte {
	e := wire.Encoder{B: b}
	e.Descriptor(frame.CodeData)
	e.Binary(encoded)
	return e.B
}

// DecodeBatch decodes the payload of a delivery of FormatBatch. It is all or
// nothing: one broken message inside is an error for the whole delivery, so
// that nothing of it is taken over. At most limit messages are decoded.
func DecodeBatch(payload []byte, limit int) ([]*Message, error) {
	var envelope decoded
	if err := envelope.decode(payload); err != nil {
		return nil, err
	}
	switch {
	case len(envelope.Data) == 0:
		return nil, Errorf(ErrDecode, "batch: no data sections")
	case len(envelope.Data) > limit:
		return nil, Errorf(ErrResourceLimit, "batch: %d messages, limit %d", len(envelope.Data), limit)
	}
	messages := make([]*Message, len(envelope.Data))
	for i, b := range envelope.Data {
		m, err := DecodeMessage(b)
		if err != nil {
			return nil, Errorf(ErrDecode, "batch: message %d: %v", i, err)
		}
		messages[i] = m
	}
	return messages, nil
}
