package storage

import (
	"strconv"
	"time"

	"sluice/iot"
)

// An Entry is all that the hub knows of a device or module. What [Identities] returns
// is shared: it is not to be changed, its slices included.
type Entry struct {
	iot.Registration
	StatusReason  string    // why it is disabled, for people; at most 128 characters
	StatusUpdated time.Time // when Enabled last changed; zero if it never did
	ManagedBy     string    // of a module: who deploys it
	ModelID       string    // plug and play model that it last said it was, or ""
	Created       time.Time
}

// Parent returns the scope of the edge device directly above e, or "".
func (e *Entry) Parent() string {
	if len(e.ParentScopes) > 0 {
		return e.ParentScopes[0]
	}
	return ""
}

// Any is the etag that matches every entry, and so does "".
const Any = "*"

// A Change is one identity before and after. Before is nil for one that was
// created, After for one that was deleted.
type Change struct{ Before, After *Entry }

// Identity is whom the change is about.
func (c Change) Identity() iot.Identity {
	if c.After != nil {
		return c.After.Identity
	}
	return c.Before.Identity
}

// Counts are how many identities there are.
type Counts struct{ Devices, Enabled, Disabled, Edge, Modules int }

// Identities are a hub's devices and modules, who stands below which edge device, and
// the shared access policies. Whoever connects is looked up in them, so readers must
// be quick: they have no context and return no errors. Changes are made one after the
// other.
type Identities interface {
	// Create adds identities, all of them or none, and returns them as they were
	// stored. What an entry leaves open is filled in: keys, entity tag, generation id,
	// the scope of an edge device and its two modules.
	//
	// Errors carry a code.Code: DeviceAlreadyExists, ModuleAlreadyExistsOnDevice,
	// DeviceNotFound (of a module), ArgumentInvalid, TooManyDevices,
	// TooManyModulesOnDevice.
	Create(entries ...Entry) ([]Entry, error)

	// Update changes an identity, if its entity tag is ifMatch, and returns it as it was
	// stored. Keys that are left open stay what they are; the generation id and the
	// scope of an edge device cannot be changed.
	//
	// Errors carry a code.Code: DeviceNotFound, ModuleNotFound, PreconditionFailed,
	// ArgumentInvalid.
	Update(e Entry, ifMatch string) (Entry, error)

	// SetModel notes the plug and play model that an identity of this generation says
	// it is. That leaves the entity tag as it is. Of an identity that is gone nothing is
	// noted.
	SetModel(id iot.Identity, generation, model string) error

	// Delete removes an identity, if its entity tag is ifMatch: a device with its
	// modules. Children of an edge device are left without a parent.
	//
	// Errors carry a code.Code: DeviceNotFound, ModuleNotFound, PreconditionFailed, and
	// ArgumentInvalid for the modules that belong to every edge device.
	Delete(id iot.Identity, ifMatch string) error

	// Watch calls watch after each change, once it is durable and readers see it, with
	// all that changed together. It is called by one goroutine at a time, in the order
	// of the changes, must return soon and must not change identities. Watching ends
	// when stop is called.
	Watch(watch func([]Change)) (stop func())

	// Get returns the entry of an identity.
	Get(id iot.Identity) (Entry, bool)
	// Registration returns the part of an entry that decides who may connect.
	Registration(id iot.Identity) (iot.Registration, bool)
	// Generation returns the generation id of an identity: see [Born].
	Generation(id iot.Identity) (string, bool)
	// EdgeDevice returns the edge device that has this scope.
	EdgeDevice(scope string) (iot.Registration, bool)

	// Devices lists at most limit devices in the order of their ids, beginning after the
	// id after; "" begins at the first.
	Devices(after string, limit int) []Entry
	// Modules lists the modules of a device in the order of their ids.
	Modules(device string) []Entry
	// AllModules lists modules of all devices, in the order of their devices' ids and
	// then of their own, beginning after the module after; the zero identity begins at
	// the first. It lists those of some devices at a time, at least limit modules unless
	// it has come to the end.
	AllModules(after iot.Identity, limit int) []Entry
	// Children lists at most limit devices directly below the edge device that has this
	// scope, in the order of their ids, beginning after the id after.
	Children(scope, after string, limit int) []Entry
	// Counts counts the identities.
	Counts() Counts

	// Policy returns the shared access policy of this name.
	Policy(name string) (Policy, bool)
	// Policies lists the shared access policies in the order of their names.
	Policies() []Policy
}

// Born is when the identity of this generation was made: a generation id is that
// time, in ticks of 100 ns since the year 1, as IoT Hub's are. It is the zero time
// for one that is not.
func Born(generation string) time.Time {
	const unixEpoch = 621_355_968_000_000_000 // in ticks
	ticks, err := strconv.ParseInt(generation, 10, 64)
	if err != nil || ticks < unixEpoch {
		return time.Time{}
	}
	ticks -= unixEpoch
	return time.Unix(ticks/1e7, ticks%1e7*100).UTC()
}
