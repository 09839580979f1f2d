package storage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sluice/iot"
)

// Errors of [Events]. Others are failures of what they are kept on.
var (
	// ErrNoSpace means that there is no room for events. It passes by itself when there
	// is again.
	ErrNoSpace = errors.New("eventlog: no space left on disk")
	// ErrClosed means that the events were closed: the hub is being stopped.
	ErrClosed = errors.New("eventlog: closed")
	// ErrNoPartition means that there is no partition of that number.
	ErrNoPartition = errors.New("eventlog: no such partition")
)

// Events are what devices, and the hub itself, tell applications: a log in partitions,
// for readers that come when they like and read at their own pace.
//
// All events of a device, its modules' included, are in one partition, in the order in
// which they were appended. The partitions are counted from 0, and their number never
// changes. Within one an event has a sequence number, counted from 0 without gaps, and
// an offset, which is the number of bytes stored before it. Both are never used twice.
// An event stays until retention removes it, the oldest first.
type Events interface {
	// Append stores a batch of telemetry in the partition of sender's device, in order
	// and all of it or nothing. done is called exactly once, from any goroutine, perhaps
	// before Append returns: with nil when the batch is durable, else with ErrNoSpace,
	// ErrClosed or a failure. Of one caller's appends it is called in their order.
	//
	// The messages may be changed once Append has returned. It may wait while too much
	// is pending.
	Append(sender iot.Identity, batch []iot.Message, done func(error))
	// AppendFrom is Append for events of any source.
	AppendFrom(source Source, sender iot.Identity, batch []iot.Message, done func(error))

	// Partitions returns the number of partitions.
	Partitions() int
	// PartitionOf returns the partition of a device's events. It never changes.
	PartitionOf(id iot.Identity) int
	// Stats describes what is durable in a partition. The error is ErrNoPartition,
	// ErrClosed or a failure.
	Stats(partition int) (Stats, error)
	// Reader returns a reader of a partition. The error is ErrNoPartition, ErrClosed or
	// a failure.
	Reader(partition int, from Position) (EventReader, error)
	// Wait returns when a partition has had an event with this sequence number: at once
	// if it has one, or has one no more. The error is ErrNoPartition, or as that of
	// [EventReader]'s Read.
	Wait(ctx context.Context, partition int, sequence uint64) error
}

// An EventReader reads one partition in order, and sees an event once it is durable.
// What retention removed before it came there it does not see. It holds no resources
// and need not be closed. It is for one goroutine at a time.
type EventReader interface {
	// Next is the sequence number that the reader waits for or reads next.
	Next() uint64
	// Poll returns the next events, at most limit, or none if none is durable yet.
	Poll(limit int) ([]Event, error)
	// Read returns the next events, at least one and at most limit, which is positive,
	// and waits for them if need be. The error is ctx's, ErrClosed or a failure; the
	// reader stays where it is then.
	Read(ctx context.Context, limit int) ([]Event, error)
}

// An Event is one stored message. The message's own system properties say nothing
// of when and where it was stored; the fields do.
type Event struct {
	Partition int
	Sequence  uint64 // counts from 0 within the partition, without gaps
	Offset    uint64 // bytes stored before it in the partition
	Enqueued  time.Time
	Source    Source
	Message   iot.Message
}

// Source says what an event tells of, as the property iothub-message-source does.
type Source byte

// The sources. Their numbers are stored.
const (
	Telemetry       Source = 1 // a message of a device or module
	TwinChange      Source = 2
	Lifecycle       Source = 3 // an identity was registered or deleted
	ConnectionState Source = 4
)

var sourceNames = map[Source]string{
	Telemetry: "Telemetry", TwinChange: "twinChangeEvents",
	Lifecycle: "deviceLifecycleEvents", ConnectionState: "deviceConnectionStateEvents",
}

// String is the value of iothub-message-source.
func (s Source) String() string {
	if name := sourceNames[s]; name != "" {
		return name
	}
	return fmt.Sprintf("Source(%d)", byte(s))
}

// Stats describe a partition, in the terms of Event Hubs.
type Stats struct {
	First     uint64    // sequence number of the oldest event kept
	Next      uint64    // sequence number of the event to come; no events if it is First
	Offset    uint64    // of the event to come
	Bytes     uint64    // kept
	LastTime  time.Time // highest enqueued time ever; zero if there never was an event
	Partition int
}
