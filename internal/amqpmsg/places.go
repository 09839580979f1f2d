package amqpmsg

import (
	"sluice/amqp10"
	"sluice/iot"
)

// An Audience is who reads a message.
type Audience uint8

// Those whom messages are written for.
const (
	Hub         Audience = 1 << iota // telemetry
	Client                           // commands and inputs, of devices and modules
	Application                      // events
)

// A place is where a system property stands that has no field in the section
// properties.
type place struct {
	name       iot.SystemName
	key        string
	annotation bool     // or else an application property
	audience   Audience // who gets it
}

// places are written in this order. Properties that are missing, such as those
// between gateways, are not written at all.
var places = [...]place{
	{iot.InterfaceID, "iothub-interface-id", true, Hub | Client | Application},
	{iot.ComponentName, "dt-subject", true, Hub | Client | Application},
	{iot.ModelID, "dt-dataschema", true, Application},
	{iot.InputName, "x-opt-input-name", true, Client},
	{iot.EnqueuedTime, "iothub-enqueuedtime", true, Client},
	{iot.SequenceNumber, "x-opt-sequence-number", true, Client},
	{iot.ConnectionDeviceID, "iothub-connection-device-id", true, Client | Application},
	{iot.ConnectionModuleID, "iothub-connection-module-id", true, Client | Application},
	{iot.ConnectionAuthMethod, "iothub-connection-auth-method", true, Application},
	{iot.ConnectionDeviceGenerationID, "iothub-connection-auth-generation-id", true, Application},

	{iot.MessageSchema, "iothub-message-schema", false, Hub | Client | Application},
	{iot.CreationTime, "iothub-creation-time-utc", false, Hub | Client | Application},
	{iot.Operation, "iothub-operation", false, Hub | Client | Application},
	{iot.OutputName, "iothub-outputname", false, Hub | Client | Application},
	{iot.Ack, "iothub-ack", false, Hub | Client},
}

// hubsOwn are the names that only hubs give. A client that has a property of this
// name is not believed.
var hubsOwn = map[string]bool{
	"iothub-connection-device-id":          true,
	"iothub-connection-module-id":          true,
	"iothub-connection-auth-method":        true,
	"iothub-connection-auth-generation-id": true,
	"iothub-enqueuedtime":                  true,
	"iothub-message-source":                true,
	"x-opt-sequence-number":                true,
	"x-opt-offset":                         true,
	"x-opt-enqueued-time":                  true,
	"x-opt-lock-token":                     true,
}

// The places, indexed for writing and for reading.
var (
	placeOf        = byName()
	hubAnnotations = byKey[amqp10.Symbol](func(p place) bool { return p.annotation && p.audience&Client != 0 })
	annotations    = byKey[amqp10.Symbol](func(p place) bool { return p.annotation && p.audience&Hub != 0 })
	// Some clients have application properties where IoT Hub has annotations.
	properties = byKey[string](func(p place) bool { return p.audience&Hub != 0 })
)

func byName() map[iot.SystemName]*place {
	m := make(map[iot.SystemName]*place, len(places))
	for i := range places {
		m[places[i].name] = &places[i]
	}
	return m
}

func byKey[K ~string](which func(place) bool) map[K]iot.SystemName {
	m := make(map[K]iot.SystemName, len(places))
	for _, p := range places {
		if which(p) {
			m[K(p.key)] = p.name
		}
	}
	return m
}
