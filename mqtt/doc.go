// Package mqtt serves MQTT 3.1.1 (OASIS Standard, 29 October 2014) to clients.
//
// A [Server] turns connections into calls on a [Backend], which decides who a
// client is, and on the [Session] that the backend returns, which decides which
// topics the client may use and what a publication means. The package knows
// packets, connections, in-flight windows and keep-alive; it knows nothing of
// devices, stores no message, and keeps no state of a client beyond its
// connection: a session that outlives the connection is the backend's.
//
// # Acknowledgement
//
// A PUBACK leaves only after the backend called [Publish.Ack] with nil, however
// much later that is, and in the order in which the publications arrived
// [MQTT-4.6.0-2]. A backend that acknowledges after a group commit sees what
// arrived together as one batch, and its acknowledgements leave together in one
// write. A publication that the backend cannot keep is never acknowledged: its
// connection is closed.
//
// Reading from a client pauses while it has more unacknowledged publications
// than [Limits] allow, so that a sender faster than the disk is slowed by TCP
// and not by memory.
//
// # Towards the client
//
// [Conn.Publish] either takes a message or reports [ErrFull]; after that,
// [Session.Ready] is called when there is room again. A backend therefore keeps
// its queue where it likes and moves from it only what the client can take.
//
// # Concurrency
//
// All methods of one Session but Ready are called by one goroutine, one at a
// time. Ready is called by another, also one at a time. The methods of Conn and
// Publish may be called by any goroutine.
//
// # QoS 2
//
// QoS 2 is not offered: such a publication ends the connection and is not given
// to the backend; a subscription that asks for QoS 2 is granted at most 1.
package mqtt
