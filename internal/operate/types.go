package operate

import (
	"encoding/json"
	"time"

	"sluice/internal/gateway"
	"sluice/internal/hubevent"
	"sluice/internal/spool"
	"sluice/iot"
)

// Status is the gateway in a few figures.
type Status struct {
	gateway.Summary
	Began       time.Time `json:"began"`
	Waiting     uint64    `json:"waiting"` // messages in all queues
	Bytes       int64     `json:"bytes"`   // their size
	DiskBytes   uint64    `json:"diskBytes"`
	Refusing    bool      `json:"refusing"` // messages, for want of disk space
	DeadLetters int       `json:"deadLetters"`
	DeadDropped uint64    `json:"deadDropped"` // the oldest ones, given up for newer ones
}

// A DeadLetter is a message that could not be delivered for good.
type DeadLetter struct {
	Seq      uint64    `json:"seq"`
	Queue    string    `json:"queue"`
	Priority uint32    `json:"priority"`
	Stored   time.Time `json:"stored"`
	Died     time.Time `json:"died"`
	Reason   string    `json:"reason"`
	Message  *Message  `json:"message,omitempty"` // nil if it is not readable
	Raw      []byte    `json:"raw,omitempty"`     // what is not readable
}

// A Message is written as a hub writes its events. Exactly one of Body and Binary is
// set.
type Message struct {
	Device     string            `json:"deviceId"`
	Module     string            `json:"moduleId,omitempty"`
	System     map[string]string `json:"systemProperties"`
	Properties map[string]string `json:"properties"`
	Body       json.RawMessage   `json:"body,omitempty"`       // JSON, or a string for other text
	Binary     []byte            `json:"bodyBase64,omitempty"` // what is no text
}

// letterOf reads a dead letter.
func letterOf(d spool.DeadLetter) DeadLetter {
	letter := DeadLetter{Seq: d.Seq, Queue: d.Queue, Priority: d.Priority, Stored: d.Stored, Died: d.Died, Reason: d.Reason}
	var m iot.Message
	if err := m.UnmarshalBinary(d.Data); err != nil {
		letter.Raw = d.Data
		return letter
	}
	var e hubevent.Event
	e.Fill(&m)
	letter.Message = &Message{e.Device, e.Module, e.System, e.Properties, e.Body, e.Binary}
	return letter
}

// Sender is who sent the message, as far as that is known.
func (d *DeadLetter) Sender() iot.Identity {
	if d.Message == nil {
		return iot.Identity{}
	}
	return iot.Identity{Device: d.Message.Device, Module: d.Message.Module}
}

// call is a direct method on the wire.
type call struct {
	Name            string          `json:"name"`
	Payload         json.RawMessage `json:"payload,omitempty"`
	ResponseTimeout float64         `json:"responseTimeout,omitempty"` // seconds
	ConnectTimeout  float64         `json:"connectTimeout,omitempty"`
}

// Result is the answer of a direct method.
type Result struct {
	Status  int             `json:"status"`
	Payload json.RawMessage `json:"payload"`
}

// command is one for a device, on the wire. System properties have the names that
// routes know.
type command struct {
	Body       []byte            `json:"bodyBase64"`
	System     map[string]string `json:"systemProperties,omitempty"`
	Properties map[string]string `json:"properties,omitempty"`
	Timeout    float64           `json:"timeout"` // seconds
}

// settled says how a command was: completed, rejected or abandoned.
type settled struct {
	Outcome string `json:"outcome"`
}

// letters are the dead letters that something is done to.
type letters struct {
	Letters []uint64 `json:"letters"`
}

// done says to how many something was done.
type done struct {
	N     uint64 `json:"n"`
	Error string `json:"error,omitempty"` // why not to more
}

type failure struct {
	Error string `json:"error"`
}
