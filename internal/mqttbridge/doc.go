// Package mqttbridge is a protocol translator for plain MQTT: devices without an
// identity at the hub publish to topics such as device/{id}/message, and each
// becomes a leaf device with its own telemetry, twin, methods and commands.
//
// Its field is a broker: one that it carries itself, or another's, of which it is a
// client. Either way a publication of QoS 1 is acknowledged after the gateway has
// the message, and a gateway that is slow or away slows those who publish.
//
// # What is in memory
//
// For each leaf that was heard since the start, what it can take and, where it
// takes desired properties, these. For each connection, at most what [mqtt.Limits]
// allow one client to have unacknowledged. For a broker that is not its own, at
// most maxWaiting publications; what is more than these and has QoS 0 is dropped
// and counted, and what has QoS 1 stays with the broker.
//
// # What is refused
//
// A publication that cannot become a message, because its topic has no leaf's id or
// one that cannot be, or because its payload is not what the configuration says, is
// acknowledged, counted and logged, and is gone. Nobody would ever take it, and its
// sender would send it for ever.
package mqttbridge
