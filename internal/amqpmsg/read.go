package amqpmsg

import (
	"unicode/utf8"

	"sluice/amqp10"
	"sluice/iot"
)

// maxProperties bounds the application properties of one message.
const maxProperties = 1024

// ReadTelemetry reads what a client sends: a device, a module, or an application
// that sends a command. The body aliases in. What only hubs say is passed over.
// The error is an [iot.Error]: Invalid for what IoT Hub has no place for,
// TooLarge.
func ReadTelemetry(in *amqp10.Message, m *iot.Message) error {
	if len(in.ApplicationProperties) > maxProperties {
		return invalid("more than %d properties", maxProperties)
	}
	r := reader{m: m, annotations: annotations, strict: true}
	if err := r.read(in); err != nil {
		return err
	}
	if n := m.Size(); n > iot.MaxMessageSize {
		return iot.Errorf(iot.TooLarge, "send", iot.Identity{}, "message of %d bytes, at most %d", n, iot.MaxMessageSize)
	}
	return nil
}

// ReadCommand reads what a hub sends a device or module. The body aliases in. A
// property whose value is no text is left out. The error is an [iot.Error]:
// Invalid for a body that has no bytes.
func ReadCommand(in *amqp10.Message, m *iot.Message) error {
	r := reader{m: m, annotations: hubAnnotations}
	return r.read(in)
}

// A reader fills m in.
type reader struct {
	m           *iot.Message
	annotations map[amqp10.Symbol]iot.SystemName
	strict      bool // of a client: nothing is believed that only hubs say, and what cannot be kept is an error
}

func (r *reader) read(in *amqp10.Message) (err error) {
	if r.m.Body, err = Body(in); err != nil {
		return err
	}
	if in.Properties != nil {
		if err := r.fields(in.Properties); err != nil {
			return err
		}
	}
	for _, a := range in.Annotations {
		if name, ok := r.annotations[a.Key]; ok {
			if err := r.system(name, string(a.Key), a.Value); err != nil {
				return err
			}
		}
	}
	for _, p := range in.ApplicationProperties {
		if err := r.property(p, len(in.ApplicationProperties)); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) fields(p *amqp10.Properties) error {
	r.m.System = make(iot.System, 0, 4)
	for _, v := range [...]struct {
		name  iot.SystemName
		value any
	}{
		{iot.MessageID, p.MessageID},
		{iot.CorrelationID, p.CorrelationID},
	} {
		if err := r.system(v.name, v.name.String(), v.value); err != nil {
			return err
		}
	}
	for _, v := range [...]struct {
		name iot.SystemName
		text string
	}{
		{iot.UserID, string(p.UserID)},
		{iot.To, p.To},
		{iot.ContentType, string(p.ContentType)},
		{iot.ContentEncoding, string(p.ContentEncoding)},
	} {
		if err := r.set(v.name, v.name.String(), v.text); err != nil {
			return err
		}
	}
	if !p.AbsoluteExpiry.IsZero() {
		r.m.System.Set(iot.ExpiryTime, timeText(p.AbsoluteExpiry))
	}
	if !p.CreationTime.IsZero() {
		r.m.System.Set(iot.CreationTime, timeText(p.CreationTime))
	}
	return nil
}

// system takes a value for a system property.
func (r *reader) system(name iot.SystemName, key string, value any) error {
	text, ok := Text(value)
	if !ok {
		return r.noText(key, value)
	}
	return r.set(name, key, text)
}

func (r *reader) set(name iot.SystemName, key, text string) error {
	if r.strict && !utf8.ValidString(text) {
		return notUTF8(key)
	}
	r.m.System.Set(name, text)
	return nil
}

// property takes one of n application properties.
func (r *reader) property(p amqp10.ApplicationProperty, n int) error {
	if name, ok := properties[p.Key]; ok {
		return r.system(name, p.Key, p.Value)
	}
	text, ok := Text(p.Value)
	switch {
	case r.strict && hubsOwn[p.Key]:
		return nil
	case r.strict && p.Key == "":
		return invalid("a property has no name")
	case !ok:
		return r.noText(p.Key, p.Value)
	case r.strict && !(utf8.ValidString(p.Key) && utf8.ValidString(text)):
		return notUTF8(p.Key)
	}
	if r.m.Properties == nil {
		r.m.Properties = make(iot.Properties, 0, n)
	}
	r.m.Properties.Set(p.Key, text)
	return nil
}

func (r *reader) noText(key string, value any) error {
	if !r.strict {
		return nil
	}
	return invalid("property %.100q has a value of type %T, which is no text", key, value)
}

func notUTF8(key string) error { return invalid("property %.100q is not UTF-8", key) }

// Body returns the bytes of a body, which alias the message if they can: data, or
// a value that is text or binary. The error is an [iot.Error], Invalid.
func Body(in *amqp10.Message) ([]byte, error) {
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

func invalid(format string, args ...any) error {
	return iot.Errorf(iot.Invalid, "send", iot.Identity{}, format, args...)
}
