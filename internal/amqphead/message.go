package amqphead

import (
	"strconv"
	"time"
	"unicode/utf8"

	"sluice/amqp10"
	"sluice/iot"
)

// maxProperties bounds the application properties of one message.
const maxProperties = 1024

// annotationNames are the annotations that carry system properties of telemetry.
var annotationNames = map[amqp10.Symbol]iot.SystemName{
	"iothub-interface-id": iot.InterfaceID,
	"dt-subject":          iot.ComponentName,
}

// propertyNames are the application properties that are system properties.
var propertyNames = map[string]iot.SystemName{
	"iothub-message-schema":    iot.MessageSchema,
	"iothub-creation-time-utc": iot.CreationTime,
	"iothub-operation":         iot.Operation,
	"iothub-outputname":        iot.OutputName,
	"iothub-ack":               iot.Ack,
	"iothub-interface-id":      iot.InterfaceID,
	"dt-subject":               iot.ComponentName,
}

// hubsOwn are the names that only hubs give. A client that uses one is not
// believed.
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

// readMessage reads telemetry. The body aliases the message. The error is an
// [iot.Error]: Invalid for what IoT Hub has no place for, TooLarge.
func readMessage(in *amqp10.Message, m *iot.Message) (err error) {
	if m.Body, err = readBody(in); err != nil {
		return err
	}
	if err := readProperties(in.Properties, m); err != nil {
		return err
	}
	for _, a := range in.Annotations {
		if name, ok := annotationNames[a.Key]; ok {
			if err := setSystem(m, name, string(a.Key), a.Value); err != nil {
				return err
			}
		}
	}
	if err := readApplicationProperties(in.ApplicationProperties, m); err != nil {
		return err
	}
	if n := m.Size(); n > iot.MaxMessageSize {
		return iot.Errorf(iot.TooLarge, "send", iot.Identity{}, "message of %d bytes, at most %d", n, iot.MaxMessageSize)
	}
	return nil
}

// readBody returns the bytes of a body: data, or a value that is text or binary.
func readBody(in *amqp10.Message) ([]byte, error) {
	switch {
	case len(in.Data) == 1:
		return in.Data[0], nil
	case len(in.Data) > 1:
		var all []byte
		for _, part := range in.Data {
			all = append(all, part...)
		}
		return all, nil
	case in.Sequence != nil:
		return nil, invalid("a body of sequences has no bytes")
	}
	switch v := in.Value.(type) {
	case nil:
		return nil, nil
	case []byte:
		return v, nil
	case string:
		return []byte(v), nil
	}
	return nil, invalid("a body of type %T has no bytes", in.Value)
}

func readProperties(p *amqp10.Properties, m *iot.Message) error {
	if p == nil {
		return nil
	}
	m.System = make(iot.System, 0, 4)
	for _, v := range [...]struct {
		name  iot.SystemName
		value any
	}{
		{iot.MessageID, p.MessageID},
		{iot.CorrelationID, p.CorrelationID},
		{iot.UserID, string(p.UserID)},
		{iot.To, p.To},
		{iot.ContentType, p.ContentType},
		{iot.ContentEncoding, p.ContentEncoding},
	} {
		if err := setSystem(m, v.name, v.name.String(), v.value); err != nil {
			return err
		}
	}
	if !p.AbsoluteExpiry.IsZero() {
		m.System.Set(iot.ExpiryTime, timeText(p.AbsoluteExpiry))
	}
	if !p.CreationTime.IsZero() {
		m.System.Set(iot.CreationTime, timeText(p.CreationTime))
	}
	return nil
}

func readApplicationProperties(all amqp10.ApplicationProperties, m *iot.Message) error {
	if len(all) > maxProperties {
		return invalid("more than %d properties", maxProperties)
	}
	for _, p := range all {
		name, system := propertyNames[p.Key]
		switch {
		case p.Key == "":
			return invalid("a property has no name")
		case hubsOwn[p.Key]:
		case system:
			if err := setSystem(m, name, p.Key, p.Value); err != nil {
				return err
			}
		default:
			text, err := propertyText(p.Key, p.Value)
			if err != nil {
				return err
			}
			if m.Properties == nil {
				m.Properties = make(iot.Properties, 0, len(all))
			}
			m.Properties.Set(p.Key, text)
		}
	}
	return nil
}

func setSystem(m *iot.Message, name iot.SystemName, key string, value any) error {
	if value == nil {
		return nil
	}
	text, err := propertyText(key, value)
	if err != nil {
		return err
	}
	m.System.Set(name, text)
	return nil
}

func propertyText(key string, value any) (string, error) {
	text, ok := valueText(value)
	switch {
	case !ok:
		return "", invalid("property %.100q has a value of type %T, which is no text", key, value)
	case !utf8.ValidString(key) || !utf8.ValidString(text):
		return "", invalid("property %.100q is not UTF-8", key)
	}
	return text, nil
}

// valueText is a simple value as text; null is empty.
func valueText(value any) (string, bool) {
	switch v := value.(type) {
	case nil:
		return "", true
	case string:
		return v, true
	case amqp10.Symbol:
		return string(v), true
	case bool:
		return strconv.FormatBool(v), true
	case []byte:
		return string(v), true
	case amqp10.UUID:
		return v.String(), true
	case amqp10.Char:
		return string(rune(v)), true
	case time.Time:
		return timeText(v), true
	case float32:
		return strconv.FormatFloat(float64(v), 'g', -1, 32), true
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), true
	}
	return integerText(value)
}

func integerText(value any) (string, bool) {
	var n int64
	switch v := value.(type) {
	case int8:
		n = int64(v)
	case int16:
		n = int64(v)
	case int32:
		n = int64(v)
	case int64:
		n = v
	case uint8:
		n = int64(v)
	case uint16:
		n = int64(v)
	case uint32:
		n = int64(v)
	case uint64:
		return strconv.FormatUint(v, 10), true
	default:
		return "", false
	}
	return strconv.FormatInt(n, 10), true
}

const timeFormat = "2006-01-02T15:04:05.000Z07:00"

func timeText(t time.Time) string { return t.UTC().Format(timeFormat) }

func invalid(format string, args ...any) error {
	return iot.Errorf(iot.Invalid, "send", iot.Identity{}, format, args...)
}
