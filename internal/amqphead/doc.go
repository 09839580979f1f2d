// Package amqphead gives AMQP 1.0 its meaning at IoT Hub: it turns links to the
// nodes of the developer's guide into calls on an [iot.Hub], over the engine of
// package amqp10.
//
//	head := amqphead.New(hub, amqphead.Options{})
//	err := head.Server().Serve(ctx, tlsListener)
//
// # Who a client is
//
// One connection may act for many identities. Each proves itself:
//
//   - by a token that is put to the node $cbs, as often as it is renewed; the
//     connection itself begins with SASL ANONYMOUS or MSSBCBS;
//   - by the token in SASL PLAIN, whose user is {device}[/{module}]@sas.{hub};
//   - by the certificate of the TLS handshake, after SASL EXTERNAL or ANONYMOUS:
//     the address of a link says which identity it is to prove;
//   - by a gateway above it: a link with the property com.microsoft:auth-chain
//     is judged with the token that was put for the gateway's $edgeHub.
//
// There is one [iot.Session] for each identity of a connection, from its token or
// its first link until its last link goes. A link belongs to one session for its
// whole life, so nothing is sent or received under another identity, whatever
// happens to the tokens beside it. When the hub ends a session, its links are
// closed with the reason; the other identities of the connection notice nothing.
// A connection on which nobody has proved anything for twenty seconds, or whose
// last identity has lost its right, is closed.
//
// # What a client may attach
//
//	to and from  $cbs                                        tokens and their answers
//	to           /devices/{d}[/modules/{m}]/messages/events   telemetry
//	from         /devices/{d}/messages/devicebound            commands
//	from         /devices/{d}/modules/{m}/messages/events     a module's inputs
//	to and from  /devices/{d}[/modules/{m}]/methods/devicebound
//	to and from  /devices/{d}[/modules/{m}]/twin
//
// Words in addresses are read without regard to case, ids are not, and may be
// url-encoded. A leading amqps://{host} is passed over. What is not below /devices
// is for a [Service], where there is one.
//
// # What accepted says
//
// Telemetry, single or in a batch, is accepted when the hub says that it is safe,
// and rejected with an error condition otherwise: SDKs take released for success,
// and do not hear modified. A twin request is accepted when it was understood;
// its outcome is in the answer. A method's answer is accepted even if it came too
// late for anybody to want it.
//
// Towards the client, accepted completes a command or an input, rejected rejects
// it, and any other outcome abandons it. What is not settled when the link goes
// is abandoned.
//
// # Ends
//
// When the hub has ended the last session of a connection, and when the server
// stops, the reason is said at the AMQP sessions too: Node's SDK looks for it
// there, and connects again if it is one that passes.
//
// # Bounds
//
// [Options] bounds the identities of a connection; each has at most 16 links. The
// deliveries under way on one link come to a mebibyte, or to four of the largest.
// What a client has asked to be told and does not take costs it the link. All else
// is bounded by the engine.
package amqphead
