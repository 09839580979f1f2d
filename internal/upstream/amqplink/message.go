package amqplink

import (
	"crypto/rand"
	"fmt"
	"strconv"
	"time"

	"sluice/amqp10"
	"sluice/iot"
)

// annotationNames are the annotations that carry system properties.
var annotationNames = map[amqp10.Symbol]iot.SystemName{
	"iothub-interface-id":         iot.InterfaceID,
	"dt-subject":                  iot.ComponentName,
	"iothub-enqueuedtime":         iot.EnqueuedTime,
	"x-opt-sequence-number":       iot.SequenceNumber,
	"iothub-connection-device-id": iot.ConnectionDeviceID,
	"iothub-connection-module-id": iot.ConnectionModuleID,
}

// propertyNames are the application properties that are system properties.
var propertyNames = map[string]iot.SystemName{
	"iothub-message-schema":    iot.MessageSchema,
	"iothub-creation-time-utc": iot.CreationTime,
	"iothub-operation":         iot.Operation,
	"iothub-outputname":        iot.OutputName,
	"iothub-ack":               iot.Ack,
}

// propertyKeys is propertyNames the other way round.
var propertyKeys = func() map[iot.SystemName]string {
	keys := make(map[iot.SystemName]string, len(propertyNames))
	for key, name := range propertyNames {
		keys[name] = key
	}
	return keys
}()

// setTelemetry makes out the message that a device sends for m, sharing its body.
// What was in out before is dropped, and its memory used again.
func setTelemetry(out *amqp10.Message, p *amqp10.Properties, m *iot.Message) {
	*p = amqp10.Properties{}
	annotations, properties := out.Annotations[:0], out.ApplicationProperties[:0]
	*out = amqp10.Message{Properties: p, Annotations: annotations, ApplicationProperties: properties}
	out.SetData(m.Body)
	for _, v := range m.System {
		setSystem(out, v)
	}
	for _, v := range m.Properties {
		out.ApplicationProperties = append(out.ApplicationProperties, amqp10.ApplicationProperty{Key: v.Key, Value: v.Value})
	}
}

// setSystem writes a system property that a device may set; others are left out.
func setSystem(out *amqp10.Message, v iot.SystemValue) {
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
	case iot.InterfaceID:
		out.Annotations = append(out.Annotations, amqp10.Field{Key: "iothub-interface-id", Value: v.Value})
	case iot.ComponentName:
		out.Annotations = append(out.Annotations, amqp10.Field{Key: "dt-subject", Value: v.Value})
	default:
		if key := propertyKeys[v.Name]; key != "" {
			out.ApplicationProperties = append(out.ApplicationProperties, amqp10.ApplicationProperty{Key: key, Value: v.Value})
		}
	}
}

// readCommand reads a message to a device. Its body aliases in.
func readCommand(in *amqp10.Message) (m iot.Message, err error) {
	if m.Body, err = body(in); err != nil {
		return m, err
	}
	readProperties(in.Properties, &m)
	for _, a := range in.Annotations {
		if name, ok := annotationNames[a.Key]; ok {
			m.System.Set(name, text(a.Value))
		}
	}
	for _, p := range in.ApplicationProperties {
		if name, ok := propertyNames[p.Key]; ok {
			m.System.Set(name, text(p.Value))
			continue
		}
		m.Properties.Set(p.Key, text(p.Value))
	}
	return m, nil
}

func readProperties(p *amqp10.Properties, m *iot.Message) {
	if p == nil {
		return
	}
	m.System.Set(iot.MessageID, text(p.MessageID))
	m.System.Set(iot.CorrelationID, text(p.CorrelationID))
	m.System.Set(iot.UserID, string(p.UserID))
	m.System.Set(iot.To, p.To)
	m.System.Set(iot.ContentType, string(p.ContentType))
	m.System.Set(iot.ContentEncoding, string(p.ContentEncoding))
	if !p.AbsoluteExpiry.IsZero() {
		m.System.Set(iot.ExpiryTime, text(p.AbsoluteExpiry))
	}
	if !p.CreationTime.IsZero() {
		m.System.Set(iot.CreationTime, text(p.CreationTime))
	}
}

// body returns the bytes of a message: data, or a value that is text or binary.
func body(in *amqp10.Message) ([]byte, error) {
	switch {
	case len(in.Data) == 1:
		return in.Data[0], nil
	case len(in.Data) > 1:
		var all []byte
		for _, part := range in.Data {
			all = append(all, part...)
		}
		return all, nil
	}
	switch v := in.Value.(type) {
	case nil:
		return nil, nil
	case []byte:
		return v, nil
	case string:
		return []byte(v), nil
	}
	return nil, fmt.Errorf("a body of type %T has no bytes", in.Value)
}

const timeFormat = "2006-01-02T15:04:05.000Z07:00"

// text is a simple value as text; null is empty.
func text(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return v
	case []byte:
		return string(v)
	case time.Time:
		return v.UTC().Format(timeFormat)
	}
	return fmt.Sprint(value)
}

// integer returns a property that is a whole number of any width, or text of one.
func integer(all amqp10.ApplicationProperties, key string) (int, bool) {
	v, _ := all.Get(key)
	return number(v)
}

func number(v any) (int, bool) {
	n, err := strconv.Atoi(text(v))
	return n, err == nil
}

// correlation is an id as text, the same whether it came as a UUID, its bytes or
// its text.
func correlation(id any) string {
	switch v := id.(type) {
	case []byte:
		if len(v) == len(amqp10.UUID{}) {
			return amqp10.UUID(v).String()
		}
	case string:
		if u, err := amqp10.ParseUUID(v); err == nil {
			return u.String()
		}
	}
	return text(id)
}

func newUUID() (id amqp10.UUID) {
	_, _ = rand.Read(id[:]) // never fails
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}
