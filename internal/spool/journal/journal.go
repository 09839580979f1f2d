// Package journal keeps blocks in files, each durable when Append returns, until they
// are of no more use.
package journal

import (
	"errors"

	"sluice/internal/disk"
)

// Header is the room that a block given to Append has in front for the journal's own
// use, in bytes.
const Header = 24

// Options are what a journal may be told.
type Options struct {
	SegmentBytes int64 // what a segment's file has room for beforehand; 0: 16 MiB
}

// A Journal is blocks in segments.
type Journal struct{}

var errNotYet = errors.New("journal: not yet")

// Open opens the journal in dir.
func Open(fs *disk.FS, dir string, applied uint64, opt Options, replay func(block []byte) error) (*Journal, error) {
	return nil, errNotYet
}

// Append writes a block and syncs it.
func (j *Journal) Append(block []byte) error { return errNotYet }

// Segment returns the number of the segment being written.
func (j *Journal) Segment() uint64 { return 0 }

// Size returns how many bytes were written to it.
func (j *Journal) Size() int64 { return 0 }

// Rotate begins the next segment.
func (j *Journal) Rotate() error { return errNotYet }

// Release gives up segments up to and with a number.
func (j *Journal) Release(upto uint64) error { return errNotYet }

// Bytes returns what the files take on disk.
func (j *Journal) Bytes() int64 { return 0 }

// Close closes the files, and keeps them.
func (j *Journal) Close() error { return errNotYet }

// A DamagedError says that blocks which were durable cannot be read.
type DamagedError struct {
	File   string
	Offset int64
	Reason string
}

func (e *DamagedError) Error() string { return "journal: " + e.File + " is damaged: " + e.Reason }
