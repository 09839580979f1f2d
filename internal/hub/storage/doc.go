// Package storage is what a hub needs to have kept, in the hub's own words: who may
// connect ([Identities]), their twins ([Twins]), what is sent to them ([Commands]),
// what they and the hub tell ([Events]), and the small papers of the hub's other rooms
// ([Documents]).
//
// The hub and all that stands above it take these interfaces and know of no database.
// The rooms registry, twins, commands, eventlog and documents keep them in Pebble, for
// a hub that is one process; only the hub's host opens those. Another implementation
// needs no change above it.
//
// # What every implementation promises
//
// Durable before it is said: a method that changes something returns nil, or calls
// back with nil, when the change is on stable storage, and readers and watchers see it
// only then. What is not durable says so.
//
// All or nothing: a change of several things in one call is made whole, or, with the
// error, not at all.
//
// In order: changes of one identity, one twin, one queue or one partition are seen by
// everybody in the order in which they were made.
//
// Of one generation: a twin, a command or a notice belongs to the generation of its
// identity. One that was deleted and made again finds nothing of what the earlier one
// had, whatever a crash left.
//
// Said as the service says it: an error that a client can cause is an [iot.Error] that
// carries the [code.Code] named with the method. A failure of the storage itself has
// the kind [iot.Internal], or is one of the errors of [Events].
//
// Methods may be called from any goroutine, and functions that are handed in are
// called without a lock that a method needs. They must return soon.
//
// Package storagetest has the tests of these promises.
package storage
