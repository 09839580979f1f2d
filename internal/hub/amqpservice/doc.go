// Package amqpservice is the service side of a hub over AMQP 1.0: what
// applications, not devices, attach to.
//
//	service := amqpservice.New(amqpservice.Options{…})
//	head := amqphead.New(hub, amqphead.Options{Service: service})
//
// Applications share the listener with devices. A connection, or rather each of its
// links, is an application's if its address is one of these:
//
//	to    /messages/devicebound                 commands
//	from  /messages/servicebound/feedback       what became of them
//	from  /messages/servicebound/filenotifications
//	to and from  $management                    what the event hub and its partitions are
//	from  {event hub}/ConsumerGroups/{group}/Partitions/{n}
//	from  messages/events/…                     redirected to the event hub
//
// # Who may attach
//
// Whoever proves that he knows a key of a shared access policy that has the right
// ServiceConnect, by a token that is put to $cbs or by SASL PLAIN. A token is good
// for the path that it was signed for and what is below. When the last token
// that covers a link has expired, the link is closed.
//
// The hub takes the tokens of both its faces: IoT Hub's, signed with the bytes that
// the key is the base64 of, and Event Hubs', signed with the text of the key.
//
// # Commands
//
// A command is accepted when it is stored. It is rejected with the condition that
// SDKs make the right error of, such as amqp:not-found for a device that there is
// not. Feedback is a JSON array of records, which are gone when the application
// accepts the message, and come again otherwise. File notifications come one in a
// message, and are gone in the same way.
//
// # Reading events
//
// The event log is seen as an Event Hub: partitions, sequence numbers, offsets,
// and consumer groups, of which there is nothing to know but that they exist, as
// readers keep their positions themselves. Events are sent settled where the link's
// mode leaves the choice, as far as the reader has given credit. A reader with an
// epoch is the only one of its partition and group, and takes over from those with
// the same or a lower one, which are told amqp:link:stolen.
//
// Event Hubs is documented by its SDKs; where they leave something open, the
// Event Hubs service was the model.
package amqpservice
