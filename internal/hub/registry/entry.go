package registry

import (
	"slices"

	"sluice/internal/hub/storage"
)

const (
	maxStatusReason   = 128
	maxModules        = 50 // per device, as IoT Hub has it
	defaultMaxDevices = 1_000_000
)

// clone makes an entry that can be changed.
func clone(e *storage.Entry) *storage.Entry {
	c := *e
	c.ParentScopes = slices.Clone(e.ParentScopes)
	return &c
}

const allRights = storage.RegistryRead | storage.RegistryWrite | storage.ServiceConnect | storage.DeviceConnect

var builtIn = []storage.Policy{
	{Name: storage.OwnerPolicy, Rights: allRights},
	{Name: storage.ServicePolicy, Rights: storage.ServiceConnect},
	{Name: storage.DevicePolicy, Rights: storage.DeviceConnect},
	{Name: storage.ReadPolicy, Rights: storage.RegistryRead},
	{Name: storage.ReadWritePolicy, Rights: storage.RegistryRead | storage.RegistryWrite},
}
