package eventlog

import (
	"fmt"

	"sluice/internal/disk"
)

// A FatalError says that the disk failed in a way after which nothing that the
// log would say could be trusted.
type FatalError = disk.FatalError

// A DamagedError says that stored bytes are not those that were written, or are
// gone. Nothing was changed.
type DamagedError struct {
	Dir string
	Err error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("event log %s is damaged: %v; nothing was deleted: restore it from a backup, or move it aside to start empty", e.Dir, e.Err)
}

// Unwrap returns what was found.
func (e *DamagedError) Unwrap() error { return e.Err }

// A PartitionsError says that a log was opened with another number of partitions
// than it was made with.
type PartitionsError struct {
	Dir        string
	Have, Want int
}

func (e *PartitionsError) Error() string {
	return fmt.Sprintf("event log %s has %d partitions, not %d: the number is fixed when a log is made; leave it out, or use an empty directory", e.Dir, e.Have, e.Want)
}
