package spool

import (
	"fmt"
	"math"
	"time"
)

// Limits of an entry.
const (
	MaxName = 1024     // bytes in the name of a queue or a lane
	MaxData = 16 << 20 // bytes in Entry.Data

	// Overhead is what an entry counts against the size limits besides its data,
	// in bytes.
	Overhead = 64
)

// An Entry is one record for one queue. A message for three endpoints is three
// entries of one [Store.Append], one after the other and with the same Data: the
// same bytes in memory, not equal ones. Then its data is stored once, or once for every
// sixteen of them.
type Entry struct {
	Queue    string
	Lane     string    // may be empty: a lane like any other
	Priority uint32    // 0 is the most urgent
	Expires  time.Time // zero: never
	Data     []byte    // must not change after Append
}

func (e *Entry) size() int64 { return int64(len(e.Data)) + Overhead }

func (e *Entry) validate() error {
	switch {
	case len(e.Queue) == 0 || len(e.Queue) > MaxName:
		return fmt.Errorf("%w: queue name of %d bytes", ErrInvalid, len(e.Queue))
	case len(e.Lane) > MaxName:
		return fmt.Errorf("%w: lane name of %d bytes", ErrInvalid, len(e.Lane))
	case len(e.Data) > MaxData:
		return fmt.Errorf("%w: data of %d bytes", ErrInvalid, len(e.Data))
	}
	return nil
}

// A Record is an entry read back under a [Lease].
type Record struct {
	Priority uint32
	Stored   time.Time // by the store's clock, to the millisecond
	Expires  time.Time // zero: never; to the millisecond, rounded up
	Data     []byte    // shared: must not be changed

	seq    uint64
	strand *strand
	shared *shared // not nil: where the data is stored
}

// Seq numbers records in the order in which they were stored. No two records of
// a store ever share a number, so it tells a repeat from a new record.
func (r Record) Seq() uint64 { return r.seq }

func (r Record) size() int64 { return int64(len(r.Data)) + Overhead }

// flight is what is needed of a record to settle it.
func (r *Record) flight() flight { return flight{r.strand, r.size(), r.shared} }

func (r Record) expired(now time.Time) bool {
	return !r.Expires.IsZero() && !now.Before(r.Expires)
}

// millis converts to Unix milliseconds, rounding up, so that nothing expires
// early; the zero time is 0.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	ms := t.UnixMilli()
	if ms < math.MaxInt64 && time.UnixMilli(ms).Before(t) {
		ms++
	}
	return ms
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
