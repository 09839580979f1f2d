// Package registry keeps the identities of a hub: devices, their modules, who
// stands below which edge device, and the hub's shared access policies.
//
// Everything is in memory for readers, so that a connection is decided without
// touching the disk, and in a Pebble database that the hub's other rooms share.
// A change is visible, and watchers hear of it, only once it is on stable
// storage. Changes are made one after the other; a change of many identities is
// all or nothing.
//
// The rules are IoT Hub's: an entity tag that changes with every change, a
// generation id that distinguishes an identity from an earlier one of the same
// name, an edge device that comes with its $edgeAgent and $edgeHub modules and
// with a scope, and children that name that scope.
//
// # On disk
//
// Keys begin with the byte 'i', for an identity, or 'p', for a policy:
//
//	'i' device [0 module] -> JSON
//	'p' policy            -> JSON
package registry
