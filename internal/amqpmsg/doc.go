// Package amqpmsg is how IoT Hub's messages stand in AMQP messages, for all who
// read or write them: the head towards devices, the uplink towards a hub, and the
// hub towards applications. It is to AMQP what topic is to MQTT.
//
// The body is a data section, or an amqp-value that is text or binary. The system
// properties that AMQP has a field for are in the section properties, with the
// form that IoT Hub gives them (all ids are text); the others are message
// annotations or application properties with names of their own, see places.go.
// What is left are the application properties of the device, whose values are
// text in IoT Hub, whatever type an AMQP client gave them.
//
// Who writes decides what is believed: [ReadTelemetry] passes over the names that
// only hubs give, [ReadCommand] takes them.
package amqpmsg
