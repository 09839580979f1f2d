package amqphead

import (
	"encoding/binary"
	"math"
	"strconv"
	"time"

	"sluice/amqp10"
	"sluice/iot"
)

// writeDelivery is a command or an input as the client gets it.
func writeDelivery(d *iot.Delivery) *amqp10.Message {
	m := &d.Message
	out := amqp10.NewMessage(m.Body)
	out.Header = &amqp10.Header{Durable: true, Priority: 4, DeliveryCount: clampUint32(d.Count)}
	out.Properties = &amqp10.Properties{}
	for _, v := range m.System {
		writeSystem(out, v)
	}
	out.Annotations.Set("x-opt-lock-token", lockToken(d.LockToken))
	out.Annotations.Set("iothub-deliverycount", clampUint32(d.Count))
	for _, p := range m.Properties {
		out.ApplicationProperties = append(out.ApplicationProperties, amqp10.ApplicationProperty{Key: p.Key, Value: p.Value})
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
	case iot.EnqueuedTime:
		if t, err := time.Parse(time.RFC3339, v.Value); err == nil {
			out.Annotations.Set("iothub-enqueuedtime", t)
		}
	case iot.SequenceNumber:
		if n, err := strconv.ParseInt(v.Value, 10, 64); err == nil {
			out.Annotations.Set("x-opt-sequence-number", n)
		}
	default:
		writeNamed(out, v)
	}
}

// writeNamed writes the system properties that are annotations or application
// properties by name. Those that are between hubs are left out.
func writeNamed(out *amqp10.Message, v iot.SystemValue) {
	switch v.Name {
	case iot.InputName:
		out.Annotations.Set("x-opt-input-name", v.Value)
	case iot.ConnectionDeviceID:
		out.Annotations.Set("iothub-connection-device-id", v.Value)
	case iot.ConnectionModuleID:
		out.Annotations.Set("iothub-connection-module-id", v.Value)
	case iot.InterfaceID:
		out.Annotations.Set("iothub-interface-id", v.Value)
	case iot.ComponentName:
		out.Annotations.Set("dt-subject", v.Value)
	case iot.MessageSchema:
		out.ApplicationProperties.Set("iothub-message-schema", v.Value)
	case iot.CreationTime:
		out.ApplicationProperties.Set("iothub-creation-time-utc", v.Value)
	case iot.Operation:
		out.ApplicationProperties.Set("iothub-operation", v.Value)
	case iot.OutputName:
		out.ApplicationProperties.Set("iothub-outputname", v.Value)
	case iot.Ack:
		out.ApplicationProperties.Set("iothub-ack", v.Value)
	}
}

func clampUint32(n int) uint32 { return uint32(min(max(n, 0), math.MaxInt32)) }

// lockToken is a UUID where it can be, as IoT Hub's are.
func lockToken(token string) any {
	if id, err := amqp10.ParseUUID(token); err == nil {
		return id
	}
	return token
}

// deliveryTag has 16 bytes, which .NET's SDK takes for the lock token: that, if it
// is a UUID, or else the delivery's number.
func deliveryTag(token string, n uint64) []byte {
	id, err := amqp10.ParseUUID(token)
	if err != nil {
		binary.BigEndian.PutUint64(id[8:], n)
	}
	return id[:]
}
