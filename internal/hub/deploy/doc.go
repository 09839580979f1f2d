// Package deploy keeps the configurations of a hub and decides what they make of
// a device or module.
//
// A configuration has a target condition, a priority and a content. The content is
// of one of three kinds:
//
//	deviceContent    settings of the twins of devices
//	moduleContent    settings of the twins of modules; the condition begins with
//	                 FROM devices.modules WHERE
//	modulesContent   settings of modules of an edge device: an edge deployment
//
// A setting names a part of the desired properties, properties.desired.a.b, which
// it replaces, or all of them, properties.desired.
//
// # Who wins
//
// Of the configurations of devices that match a device, the one with the highest
// priority applies, and of those with the same priority the one that was created
// last; likewise for modules. The others are shown as targeted.
//
// Edge deployments are of two sorts. One that sets all desired properties of
// $edgeAgent is a base; one that sets parts alone is a layer. The winning base
// applies, and upon it the layers with a higher priority, the lowest first. Layers
// without a base do nothing.
//
// What a configuration that no longer applies has set stays as it is, unless
// another one sets it, as in the service.
//
// # Storage
//
// Keys begin with the byte 'g', followed by the id; values are JSON.
package deploy
