// Package eventhub reads a hub's events from its Event Hubs-compatible endpoint, as
// Azure IoT Hub and Sluice's own hub have it: AMQP 1.0 on port 5671.
//
// A [Reader] begins with the hub's own connection string. It asks the hub for its
// events, is redirected to the endpoint, asks that for its partitions, and reads
// all of them, each in order. A connection that is lost is made again, and every
// partition goes on where it was.
package eventhub
