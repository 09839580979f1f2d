package spool

import (
	"errors"
	"fmt"

	"sluice/internal/disk"
)

var (
	// ErrFull means that the configured limit ([Options.MaxBytes]) is reached.
	// It passes as records are delivered.
	ErrFull = errors.New("spool: full: size limit reached")
	// ErrLaneFull means that the lane's own limit ([Options.MaxLaneBytes]) is
	// reached. It is an [ErrFull] too.
	ErrLaneFull = fmt.Errorf("%w by this lane", ErrFull)
	// ErrNoSpace means that the disk has less than [Options.MinFree] left. It
	// passes by itself when space returns.
	ErrNoSpace = errors.New("spool: no space left on disk")
	// ErrClosed is returned after [Store.Close].
	ErrClosed = errors.New("spool: closed")
	// ErrInvalid marks an entry that no store would take: a name or data that is
	// too long, see [MaxName] and [MaxData].
	ErrInvalid = errors.New("spool: invalid entry")
	// ErrNotFound means that there is no dead letter of that number.
	ErrNotFound = errors.New("spool: no such dead letter")
)

// A FatalError says that the disk failed in a way after which nothing that the
// store would say could be trusted.
type FatalError = disk.FatalError

// A LockedError says that another process has the store open.
type LockedError struct {
	Dir string
	PID int // 0: not known
}

func (e *LockedError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("spool %s is in use by another process", e.Dir)
	}
	return fmt.Sprintf("spool %s is in use by process %d", e.Dir, e.PID)
}

// A FormatError says that the store was written by a newer program. Nothing was
// changed.
type FormatError struct {
	Dir  string
	Have string // what the FORMAT file says
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("spool %s has format %q, this program knows %q: run the program that wrote it, or drain it there first", e.Dir, e.Have, formatLine)
}

// A ForeignError says that the directory holds something that is not a spool.
// Nothing was changed.
type ForeignError struct {
	Dir   string
	Entry string // the first thing found that does not belong to a spool
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("%s is not a spool: it holds %q; name an empty or new directory", e.Dir, e.Entry)
}

// A DamagedError says that stored bytes are not those that were written, or are
// gone. The store never repairs by deleting: at [Open] nothing was changed, and
// while running the damaged range stays where it is.
type DamagedError struct {
	Dir string
	Err error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("spool %s is damaged: %v; nothing was deleted: copy the directory away for salvage, then restore it from a backup, or move it aside to start empty", e.Dir, e.Err)
}

func (e *DamagedError) Unwrap() error { return e.Err }
