package registry

import (
	"slices"
	"time"

	"sluice/iot"
)

// An Entry is all that the registry knows of a device or module. What a Store
// returns is shared: it is not to be changed, its slices included.
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

// clone makes an Entry that can be changed.
func (e *Entry) clone() *Entry {
	c := *e
	c.ParentScopes = slices.Clone(e.ParentScopes)
	return &c
}

// Rights are what a policy allows.
type Rights uint8

// The rights, as IoT Hub names them.
const (
	RegistryRead Rights = 1 << iota
	RegistryWrite
	ServiceConnect
	DeviceConnect
)

// Has reports whether r includes all of want.
func (r Rights) Has(want Rights) bool { return r&want == want }

// A Policy is a shared access policy: a name, what it allows, and two keys.
type Policy struct {
	Name      string
	Rights    Rights
	Primary   iot.Secret
	Secondary iot.Secret
}

// Names of the policies that every hub has.
const (
	Owner             = "iothubowner"
	Service           = "service"
	Device            = "device"
	ReadPolicy        = "registryRead"
	ReadWritePolicy   = "registryReadWrite"
	allRights         = RegistryRead | RegistryWrite | ServiceConnect | DeviceConnect
	maxStatusReason   = 128
	maxModules        = 50 // per device, as IoT Hub has it
	defaultMaxDevices = 1_000_000
)

var builtIn = []Policy{
	{Name: Owner, Rights: allRights},
	{Name: Service, Rights: ServiceConnect},
	{Name: Device, Rights: DeviceConnect},
	{Name: ReadPolicy, Rights: RegistryRead},
	{Name: ReadWritePolicy, Rights: RegistryRead | RegistryWrite},
}

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
