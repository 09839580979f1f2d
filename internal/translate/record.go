package translate

import (
	"errors"

	"sluice/internal/leafwire"
	"sluice/iot"
)

// A kind is what a kept message is.
type kind byte

const (
	telemetry kind = iota + 1
	reported
	hello
	gone
)

// kinds are the types of messages that are kept.
var kinds = map[string]kind{
	"": telemetry, leafwire.TypeReported: reported, leafwire.TypeHello: hello, leafwire.TypeGone: gone,
}

// A record is a leaf's message as it is kept: a version, the kind, and the message.
const recordVersion = 1

var errRecord = errors.New("translate: a kept message cannot be read")

func encodeRecord(k kind, m *iot.Message) []byte {
	b, _ := m.AppendBinary([]byte{recordVersion, byte(k)}) // never fails
	return b
}

func decodeRecord(b []byte) (k kind, m iot.Message, err error) {
	if len(b) < 2 || b[0] != recordVersion || b[1] < byte(telemetry) || b[1] > byte(gone) {
		return 0, m, errRecord
	}
	return kind(b[1]), m, m.UnmarshalBinary(b[2:])
}

// carried are the system properties that a leaf's message keeps on its way up.
var carried = []iot.SystemName{
	iot.MessageID, iot.CorrelationID, iot.UserID, iot.ContentType, iot.ContentEncoding,
	iot.MessageSchema, iot.CreationTime, iot.InterfaceID, iot.ComponentName,
}

// own is a message as the leaf would have sent it: without what its translator and
// the gateway added.
func own(m *iot.Message) iot.Message {
	out := iot.Message{Body: m.Body, Properties: leafwire.Strip(m.Properties)}
	for _, name := range carried {
		if v := m.System.Get(name); v != "" {
			out.System.Set(name, v)
		}
	}
	return out
}
