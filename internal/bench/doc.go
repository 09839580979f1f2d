// Package bench measures: what a broker takes from many clients at once, over MQTT
// or AMQP 1.0, and how long each message waits for its acknowledgement, what an
// idle connection costs a server, and what a disk gives a spool.
//
// Its MQTT client does no more than it must, on a socket of its own and with one
// goroutine, so that it takes little of a machine that it shares with what it
// measures, and measures another broker with the same pen. Its AMQP client is that
// of amqp10, which costs more, and the same with every server.
//
// # What a latency is
//
// The time from the moment before the write of a PUBLISH to the arrival of its
// PUBACK, or from a transfer to its disposition. With a rate it begins when the message was due, even if it could not be
// sent then because the window was full: a server that stops for a second is late
// with all that were due in that second.
//
// # What is counted
//
// Only acknowledgements that arrive within the measured time, after the warm-up.
// Messages without one when a connection is lost are reported as unanswered;
// whether they are safe is unknown.
package bench
