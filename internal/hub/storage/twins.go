package storage

import (
	"time"

	"sluice/internal/twin"
	"sluice/iot"
)

// Twins are the twins of a hub's identities. The twin that nobody has changed needs
// not be kept: it is [twin.New] of when its identity was [Born].
type Twins interface {
	// Get returns the twin of an identity of this generation: a new one if none is
	// stored.
	Get(id iot.Identity, generation string) (twin.Twin, error)

	// Update replaces the twin by what change makes of it, given the time; changes of
	// one twin are made one after the other. Once the twin is durable Update calls
	// stored, if it is not nil, before another change of the same twin begins. An error
	// of change is returned as it is, and nothing is changed then.
	Update(id iot.Identity, generation string, change func(twin.Twin, time.Time) (twin.Twin, error), stored func(twin.Twin)) (twin.Twin, error)

	// Begin stores the twins of new identities: all of them, or, with the first error
	// of a Make, none.
	Begin(list []Beginning) error

	// Delete forgets the twin of an identity that is no more. A crash may undo it: the
	// generation keeps what is left from being another's.
	Delete(id iot.Identity) error

	// NewReader returns a reader of the twins as they are now.
	NewReader() (TwinReader, error)
}

// A Beginning is what the twin of a new identity begins with.
type Beginning struct {
	Identity   iot.Identity
	Generation string
	Make       func(twin.Twin, time.Time) (twin.Twin, error) // of the empty twin
}

// A TwinReader looks up many twins as they were at one moment. It is quick if they are
// asked for in their order: by device id, and each device before its modules. It is
// for one goroutine, and must be closed.
type TwinReader interface {
	// View is the twin of an identity of this generation, shown with owner. It stays
	// good when the reader goes on.
	View(owner twin.Owner, id iot.Identity, generation string) (*twin.View, error)
	// Close ends the use of the reader.
	Close() error
}
