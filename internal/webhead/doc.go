// Package webhead gives HTTPS its meaning at IoT Hub: it turns the requests of the
// developer's guide into calls on an iot.Hub, and upgrades connections to WebSockets
// for the engines of MQTT and AMQP.
//
//	head := webhead.New(hub, webhead.Options{MQTT: mqttServer, AMQP: amqpServer})
//	defer head.Close()
//	err := webhead.Serve(ctx, listener, head, webhead.ServeOptions{TLS: config})
//
// # What a client may ask
//
//	POST    /devices/{d}[/modules/{m}]/messages/events         telemetry, one or a batch
//	GET     /devices/{d}/messages/deviceBound                  a command, or 204
//	DELETE  /devices/{d}/messages/deviceBound/{etag}[?reject]  complete or reject it
//	POST    /devices/{d}/messages/deviceBound/{etag}/abandon   abandon it
//	POST    /twins/{d}[/modules/{m}]/methods                   a module calls a method
//	POST    /devices/{d}/files                                 where a file goes
//	POST    /devices/{d}/files/notifications                   how its upload ended
//	GET     /$iothub/websocket                                 subprotocols mqtt, AMQPWSB10
//	GET     /health                                            200 while the head serves
//
// Words in paths are read without regard to case, ids are not, and are decoded once.
// All but the last two name an api-version; any date will do, for what devices send
// and get is the same in all of them. Those that call methods may leave it out, as
// one SDK does.
//
// # Who a client is
//
// The path names the identity, or for methods the header x-ms-edge-moduleId. Each
// request proves it: by the token in the header Authorization, or, without one, by
// the certificate of the TLS handshake. The iot.Session behind it is kept for a
// while, so that a device that polls finds its commands still locked, and a request
// with the proof of the one before costs nothing. A proof that differs is judged.
//
// # What 204 says
//
// Telemetry is answered when the hub says that it is safe. Nothing else is: an error
// says that the message may be sent again.
//
// # Properties
//
// The header iothub-app-{name} is the property {name}, in the case in which the
// client wrote it if [Serve] serves, and else in lower case. System properties are
// iothub-messageid, -correlationid, -userid, -to, -expiry, -ack, -contenttype,
// -contentencoding, -interface-id, -message-schema, -creation-time-utc, -operation,
// -outputname, and dt-subject. A value that is not UTF-8 is Latin-1, as HTTP's once
// were. A command that cannot be written as headers is rejected, since it never can.
//
// # Errors
//
// They have IoT Hub's codes, in the body {"Message":"ErrorCode:…;…"} and the header
// iothub-errorcode. Of a proof that failed a client learns nothing more.
package webhead
