// Package commands keeps the hub's cloud-to-device messages: a durable queue for
// each identity, and the feedback that senders asked for.
//
// # A command's life
//
// [Store.Send] returns when the command is on stable storage. It waits in its
// identity's queue, which holds [MaxQueued], until the identity subscribes and
// grants a delivery. Then it is locked with a token: the receiver completes it,
// rejects it or abandons it, and one whose lock ends, or whose receiver leaves,
// comes again with a higher count, before those behind it. It ends when it is
// completed or rejected, when it expires, when it was delivered
// [MaxDeliveries] times, or when its queue is purged. These are IoT Hub's rules,
// with its defaults.
//
// Each end may be worth a feedback record, as the sender asked with the property
// iothub-ack. A record is stored in the same write that removes the command, so a
// crash leaves either the command or its feedback.
//
// # Memory and disk
//
// In memory is an index: a few dozen bytes for each command. The messages are
// read from the database when they are delivered. Keys begin with 'c' for a
// command and 'b' for a feedback record:
//
//	'c' device 0 module 0 sequence(8) -> header, message
//	'b' sequence(8)                   -> JSON
package commands
