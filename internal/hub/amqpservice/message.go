package amqpservice

import (
	"strconv"
	"time"

	"sluice/amqp10"
	"sluice/internal/hub/eventlog"
	"sluice/iot"
)

// annotationNames are the system properties that are annotations of an event.
var annotationNames = map[iot.SystemName]amqp10.Symbol{
	iot.ConnectionDeviceID:           "iothub-connection-device-id",
	iot.ConnectionModuleID:           "iothub-connection-module-id",
	iot.ConnectionAuthMethod:         "iothub-connection-auth-method",
	iot.ConnectionDeviceGenerationID: "iothub-connection-auth-generation-id",
	iot.InterfaceID:                  "iothub-interface-id",
	iot.ModelID:                      "dt-dataschema",
	iot.ComponentName:                "dt-subject",
}

// propertyNames are those that are application properties.
var propertyNames = map[iot.SystemName]string{
	iot.MessageSchema: "iothub-message-schema",
	iot.CreationTime:  "iothub-creation-time-utc",
	iot.Operation:     "iothub-operation",
	iot.OutputName:    "iothub-outputname",
}

// message is an event as applications read it.
func message(e *eventlog.Event) *amqp10.Message {
	in := &e.Message
	out := amqp10.NewMessage(in.Body)
	enqueued := e.Enqueued.UTC().Truncate(time.Millisecond)
	out.Annotations = amqp10.Fields{
		{Key: "x-opt-sequence-number", Value: int64(e.Sequence)},
		{Key: "x-opt-offset", Value: strconv.FormatUint(e.Offset, 10)},
		{Key: "x-opt-enqueued-time", Value: enqueued},
		{Key: "iothub-enqueuedtime", Value: enqueued},
		{Key: "iothub-message-source", Value: e.Source.String()},
	}
	out.Properties = &amqp10.Properties{}
	for _, p := range in.Properties {
		out.ApplicationProperties = append(out.ApplicationProperties, amqp10.ApplicationProperty{Key: p.Key, Value: p.Value})
	}
	for _, v := range in.System {
		writeSystem(out, v)
	}
	return out
}

func writeSystem(out *amqp10.Message, v iot.SystemValue) {
	p := out.Properties
	switch v.Name {
	case iot.MessageID:
		p.MessageID = v.Value
	case iot.CorrelationID:
		p.CorrelationID = v.Value
	case iot.UserID:
		p.UserID = []byte(v.Value)
	case iot.To:
		p.To = v.Value
	case iot.ContentType:
		p.ContentType = amqp10.Symbol(v.Value)
	case iot.ContentEncoding:
		p.ContentEncoding = amqp10.Symbol(v.Value)
	case iot.ExpiryTime:
		p.AbsoluteExpiry, _ = time.Parse(time.RFC3339, v.Value) // the zero time is none
	default:
		if name := annotationNames[v.Name]; name != "" {
			out.Annotations = append(out.Annotations, amqp10.Field{Key: name, Value: v.Value})
		} else if name := propertyNames[v.Name]; name != "" {
			out.ApplicationProperties.Set(name, v.Value)
		}
	}
}
