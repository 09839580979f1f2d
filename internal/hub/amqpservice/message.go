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

// A form is an event as applications read it. It is filled in for one event after the
// other, so that a reader of many does not make a message for each.
type form struct {
	message    amqp10.Message
	properties amqp10.Properties
	body       [1][]byte
}

// fill returns the message of an event, until the next call.
func (f *form) fill(e *eventlog.Event) *amqp10.Message {
	in, out := &e.Message, &f.message
	f.body[0] = in.Body
	out.Data = f.body[:]
	f.properties = amqp10.Properties{}
	out.Properties = &f.properties
	var enqueued any = e.Enqueued.UTC().Truncate(time.Millisecond)
	out.Annotations = append(out.Annotations[:0],
		amqp10.Field{Key: "x-opt-sequence-number", Value: int64(e.Sequence)},
		amqp10.Field{Key: "x-opt-offset", Value: strconv.FormatUint(e.Offset, 10)},
		amqp10.Field{Key: "x-opt-enqueued-time", Value: enqueued},
		amqp10.Field{Key: "x-opt-partition-key", Value: in.System.Get(iot.ConnectionDeviceID)},
		amqp10.Field{Key: "iothub-enqueuedtime", Value: enqueued},
		amqp10.Field{Key: "iothub-message-source", Value: e.Source.String()},
	)
	out.ApplicationProperties = out.ApplicationProperties[:0]
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
