// Package amqplink speaks AMQP 1.0 to a hub elsewhere on the network, as the
// device side: one or a few connections for all the identities that a gateway
// acts for.
//
// # Who speaks
//
// Each identity proves itself on the node $cbs, under its own audience, with the
// token that the caller signed: its own, or that of the $edgeHub module of an
// edge device above it. In the second case its links carry the property
// com.microsoft:auth-chain, as those of edgeHub do. [iot.Session.Renew] puts
// another token; nothing else changes.
//
// # Connections
//
// IoT Hub has at most 1,000 devices on one connection. A [Pool] opens another
// when one is full, and closes one that has no session left. Identities have an
// AMQP session each, as long as there are channels.
//
// A connection that is lost ends all its sessions, with an error; nothing is
// brought back here. When thousands of sessions are opened at once, one
// connection is dialed for all of them, and no more than Config.Concurrency
// identities prove themselves and attach links at a time.
//
// # What is attached
//
// The link for telemetry is attached by Connect, so that a hub that refuses the
// identity says so there. The links for commands, methods and the twin are
// attached on first use. When the hub closes any link of a session, the session
// ends.
package amqplink
