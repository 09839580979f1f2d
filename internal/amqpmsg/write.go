package amqpmsg

import (
	"strconv"
	"time"

	"sluice/amqp10"
	"sluice/iot"
)

// A Form is filled in with one message after the other, so that who writes many
// does not make one for each. The zero value is ready.
type Form struct {
	message    amqp10.Message
	properties amqp10.Properties
}

// Fill returns m as it is written for an audience. It shares m's body and is good
// until the next call; until then the caller may add to it.
func (f *Form) Fill(m *iot.Message, to Audience) *amqp10.Message {
	out := &f.message
	f.properties = amqp10.Properties{}
	*out = amqp10.Message{
		Properties:            &f.properties,
		Annotations:           out.Annotations[:0],
		ApplicationProperties: out.ApplicationProperties[:0],
	}
	out.SetData(m.Body)
	for _, v := range m.System {
		writeSystem(out, v, to)
	}
	for _, v := range m.Properties {
		out.ApplicationProperties = append(out.ApplicationProperties, amqp10.ApplicationProperty{Key: v.Key, Value: v.Value})
	}
	return out
}

// Release lets go of the last message's body.
func (f *Form) Release() { f.message.SetData(nil) }

func writeSystem(out *amqp10.Message, v iot.SystemValue, to Audience) {
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
		writePlaced(out, v, to)
	}
}

func writePlaced(out *amqp10.Message, v iot.SystemValue, to Audience) {
	at := placeOf[v.Name]
	switch {
	case at == nil || at.audience&to == 0:
	case !at.annotation:
		out.ApplicationProperties = append(out.ApplicationProperties, amqp10.ApplicationProperty{Key: at.key, Value: v.Value})
	default:
		if value := annotationValue(v); value != nil {
			out.Annotations = append(out.Annotations, amqp10.Field{Key: amqp10.Symbol(at.key), Value: value})
		}
	}
}

// annotationValue is a property in the type that IoT Hub's annotation has; nil if
// it is none of that type.
func annotationValue(v iot.SystemValue) any {
	switch v.Name {
	case iot.EnqueuedTime:
		if t, err := time.Parse(time.RFC3339, v.Value); err == nil {
			return t
		}
		return nil
	case iot.SequenceNumber:
		if n, err := strconv.ParseInt(v.Value, 10, 64); err == nil {
			return n
		}
		return nil
	}
	return v.Value
}
