package storage

import "sluice/iot"

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
	OwnerPolicy     = "iothubowner"
	ServicePolicy   = "service"
	DevicePolicy    = "device"
	ReadPolicy      = "registryRead"
	ReadWritePolicy = "registryReadWrite"
)
