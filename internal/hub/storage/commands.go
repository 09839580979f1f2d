package storage

import (
	"context"
	"time"

	"sluice/iot"
)

// IoT Hub's limits of commands.
const (
	MaxCommands    = 50       // that wait for one identity
	MaxCommandSize = 64 << 10 // bytes of one command
)

// Commands are a hub's cloud-to-device messages: a queue of at most [MaxCommands] for
// each identity.
//
// A command waits until its identity receives and grants a delivery. It is locked
// then: the receiver completes it, rejects it or abandons it, and one whose lock ends,
// or whose receiver leaves, comes again with a higher count, before those behind it.
// It ends when it is completed or rejected, expires, was delivered too often or is
// purged. What the sender asked to be told of that end becomes durable together with
// it.
type Commands interface {
	// Send stores a command for target, behind those that wait. Errors carry a
	// code.Code: DeviceNotFound or ModuleNotFound, QueueDepthExceeded,
	// MessageTooLarge, ArgumentInvalid.
	Send(target iot.Identity, m iot.Message) error

	// Receive makes deliver the receiver of an identity's commands, in the place of one
	// before. deliver is called as often as was granted.
	Receive(id iot.Identity, deliver func(iot.Delivery)) iot.Subscription

	// Settle ends the delivery with this lock token. The error carries
	// code.MessageLockLost if there is none: its lock ended, or it was settled before.
	Settle(id iot.Identity, token string, outcome iot.Outcome) error

	// Count is how many commands wait for an identity.
	Count(id iot.Identity) int
	// Purge ends all commands of an identity, and returns how many there were.
	Purge(id iot.Identity) (int, error)
	// Forget removes the commands of an identity that was deleted, without feedback.
	Forget(id iot.Identity) error

	// Feedback is what senders asked to be told.
	Feedback() Notices[FeedbackRecord]

	// Run ends what expires, and gives back what is not settled, until ctx ends.
	Run(ctx context.Context)
}

// A FeedbackRecord is what a sender is told of a command's end, in IoT Hub's words.
type FeedbackRecord struct {
	OriginalMessageID  string    `json:"originalMessageId"`
	Description        string    `json:"description"`
	DeviceGenerationID string    `json:"deviceGenerationId"`
	DeviceID           string    `json:"deviceId"`
	ModuleID           string    `json:"moduleId,omitempty"`
	EnqueuedTime       time.Time `json:"enqueuedTimeUtc"` // of the end
	StatusCode         string    `json:"statusCode"`
}

// Time is when it was made.
func (r FeedbackRecord) Time() time.Time { return r.EnqueuedTime }

// Notices are what a hub has to tell its service applications, of one kind. A notice
// waits until an application takes it, in the order in which they were made, and comes
// again if that does not settle it in time.
type Notices[R any] interface {
	// Take returns at most max notices that wait, oldest first. If there are none, the
	// lease is nil, and more is closed when there may be some.
	Take(max int) (lease *Lease[R], more <-chan struct{})
}

// A Lease is notices that an application has, and settles.
type Lease[R any] struct {
	Records []R
	Count   int // times that the first of them was taken before

	// Settle ends the lease: with done its notices are gone, else they are there again.
	// Those whose lock has ended are another's.
	Settle func(done bool)
}
