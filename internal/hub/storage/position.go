package storage

import "time"

// A Position says where in a partition a reader begins. The zero Position is the
// earliest event.
type Position struct {
	Start Start
	N     uint64    // the sequence number or offset
	Time  time.Time // of [AtTime]
}

// Start says what a [Position] is counted by.
type Start uint8

// The starts, with the function that makes such a position.
const (
	StartEarliest   Start = iota // [Earliest]
	StartLatest                  // [Latest]
	StartAtSequence              // [AtSequence]
	StartAtOffset                // [AtOffset]
	StartAtTime                  // [AtTime]
)

// Earliest is the oldest event that is kept.
func Earliest() Position { return Position{} }

// Latest is the next event to be stored.
func Latest() Position { return Position{Start: StartLatest} }

// AtSequence is the first event with at least this sequence number. One that is
// not there yet is waited for.
func AtSequence(n uint64) Position { return Position{Start: StartAtSequence, N: n} }

// AtOffset is the first event with at least this offset. One that is not there
// yet counts as [Latest].
func AtOffset(n uint64) Position { return Position{Start: StartAtOffset, N: n} }

// AtTime is the first event that was enqueued at t or later, or [Latest]. Where
// the clock was set back, events enqueued before t may follow it.
func AtTime(t time.Time) Position { return Position{Start: StartAtTime, Time: t} }
