// Package websocket is the server's end of a WebSocket (RFC 6455) that carries a
// stream of bytes, as MQTT and AMQP do: a net.Conn.
//
//	protocol, err := websocket.Check(r, []string{"mqtt", "AMQPWSB10"})
//	…
//	conn, err := websocket.Upgrade(w, r, protocol)
//
// What the client sends is read as it comes, whatever the frames and messages are
// that it is cut into; their lengths are never allocated. What is written leaves as
// one binary message for each Write. Deadlines are those of the connection below: one
// that passes interrupts a Read or Write and nothing else, and a Read may go on
// afterwards.
//
// Pings are answered while somebody reads. Extensions, and so compression, are not
// offered.
package websocket
