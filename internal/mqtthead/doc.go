// Package mqtthead gives MQTT its meaning at IoT Hub: it turns the topics of the
// developer's guide into calls on an [iot.Hub], over the engine of package mqtt.
//
//	server := &mqtt.Server{Backend: mqtthead.New(hub, mqtthead.Options{}), TLS: config}
//	err := server.Serve(ctx, listener)
//
// # Who a client is
//
// The client id names the identity, {device} or {device}/{module}, and the user
// name repeats it: {hub}/{client id}/?api-version=…. The password is a token, or
// empty where the TLS handshake brought a certificate. From then on the identity
// is the session's: whatever a topic or a property says, nothing is sent or
// received under another.
//
// # What a client may do
//
//	publish    devices/{d}[/modules/{m}]/messages/events/[bag]      telemetry
//	           $iothub/twin/GET/?$rid={rid}                         read the twin
//	           $iothub/twin/PATCH/properties/reported/?$rid={rid}   change it
//	           $iothub/methods/res/{status}/?$rid={rid}             answer a method
//	subscribe  devices/{d}/messages/devicebound/#                   commands
//	           devices/{d}/modules/{m}/inputs/#, …/modules/{m}/#    a module's inputs
//	           $iothub/methods/POST/#                               methods
//	           $iothub/twin/res/#                                   answers of the twin
//	           $iothub/twin/PATCH/properties/desired/#              desired changes
//
// Anything else that is published ends the connection, and any other filter is
// refused with 0x80. An id that has the wildcards + or # in it is url-encoded in
// topics; other ids may be.
//
// # What a PUBACK says
//
// Telemetry is acknowledged when the hub says that it is safe, and never if the
// hub refused it: then the connection ends. A twin request is acknowledged when
// it was understood; its outcome is in the answer.
//
// Towards the client, a command or an input is complete when the client
// acknowledges it, or, if it subscribed at QoS 0, when it was written. What was
// not acknowledged when the connection ended comes again.
//
// # A client that does not read
//
// Commands and inputs stay with the hub until the client has room: at most 16 are
// on their way to it, and fewer if they are large. Of answers, methods and desired
// changes 1 MiB may wait; from then on twin requests and methods are answered
// with 429, and a desired change, which may not be left out, ends the connection.
//
// # Wills
//
// A will is telemetry with the property iothub-MessageType=Will. The will of a
// session that another connection of the same identity took over is sent through
// that one; if that came by another protocol, the will is lost, and the log says
// so.
package mqtthead
