// Package iot is the vocabulary of Sluice: the nouns of Azure IoT Hub, and the
// two interfaces that everything else is built on.
//
// A gateway is an IoT Hub to its devices and a device to its IoT Hub. So there
// is one interface, [Hub], and three things implement it: the local cloud
// (internal/hub), the gateway (internal/gateway), which is a hub whose answers
// come from a parent [Hub], and the client of a hub elsewhere on the network
// (internal/upstream). The protocol heads are written once, against Hub, and
// cannot tell which of the three they serve.
//
// A head turns a connection into a [Session] with [Hub.Connect] and then calls
// the session's methods as the device asks. A Session acts for exactly one
// [Identity]: no method takes the identity of the caller, so a head cannot send
// or receive under another.
//
// What a device sends is acknowledged late. [Session.Send] takes messages over
// and calls back when they are safe: on stable storage, or accepted by the next
// hub. Only then may a head write PUBACK, accepted or 204. What a device
// receives is flow-controlled by [Subscription.Grant]: a hub never hands over
// more deliveries than were granted, so a slow reader costs it no memory.
//
// The package does no I/O and imports the standard library alone.
package iot
