package journal

import (
	"errors"
	"fmt"
)

// A DamagedError says that the disk has lost blocks which were durable, or altered them.
// The journal's files are as they were found.
type DamagedError struct {
	File   string // path
	Offset int64  // of the first byte that is not as it was written
	Reason string // "a good block at 4096 comes after a bad one"
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("journal: %s is damaged at %d: %s", e.File, e.Offset, e.Reason)
}

var (
	errTooLarge = fmt.Errorf("journal: a block has at most %d bytes", MaxContent)
	errNoRoom   = fmt.Errorf("journal: a block begins with %d bytes for the journal", Header)
	errClosed   = errors.New("journal: closed")
)
