package eventlog

import (
	"time"

	"sluice/internal/hub/storage"
)

// Earliest is [storage.Earliest], for those who have not moved to it.
func Earliest() storage.Position { return storage.Earliest() }

// AtTime is [storage.AtTime], for those who have not moved to it.
func AtTime(t time.Time) storage.Position { return storage.AtTime(t) }
