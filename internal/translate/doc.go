// Package translate is the identity translation module: it gives devices that know
// nothing of IoT Hub, leaves, an identity there each.
//
// Protocol translators, other modules of the same gateway, send it what leaves say
// (package leafwire has the messages). On first contact it asks the cloud to create
// the leaf's device, keeps the leaf's messages until that is answered, and then
// sends them up, under the leaf's own identity, in order. It receives what the hub
// has for the leaf - desired properties, methods, commands - and hands it down to
// the leaf's translator.
//
// # What is promised
//
// A message is acknowledged to the gateway when it is on disk, and stays there
// until the gateway has taken it under the leaf's identity, its time passed, or it
// was dropped for a reason that is counted and logged. Messages of a leaf go up in
// the order in which they came. A restart at any moment loses nothing that was
// acknowledged; it repeats at most what was in flight.
//
// # The states of a leaf
//
//	new ─▶ registering ─▶ registered ─▶ retiring ─▶ disabled, deleted
//	            │  ▲           │
//	            ▼  │           ▼ the gateway keeps refusing its session
//	         refused        registering
//
// A request that is not answered is repeated, later each time. A refusal is
// remembered for a while; a message that comes after that has the leaf ask again.
// A leaf whose session the gateway keeps refusing was disabled, deleted or given to
// another gateway at the hub, or has other keys there: it is registered anew, and
// the cloud decides. See state.go.
//
// # Bounds
//
// Kept messages are bounded for each leaf and in all ([Options.MaxLeafBytes],
// [Options.MaxBytes]), leaves by [Options.MaxLeaves], requests to the cloud by
// [Options.RegisterRate]. What is read of the input and not yet on disk is bounded
// by a window. A leaf without anything to send costs a few hundred bytes; one with
// an open session some tens of kilobytes, see the benchmark.
package translate
