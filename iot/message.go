package iot

import (
	"strings"
	"time"
)

// MaxMessageSize is the largest device-to-cloud message, in bytes, counted by
// [Message.Size].
const MaxMessageSize = 256 << 10

// Message is one message in either direction: what a device or module tells the
// hub (telemetry), what a module hands another (input), or what the hub tells a
// device (a command, also called cloud-to-device message).
//
// Whoever receives a Message owns it, its slices included, unless a method says
// otherwise. The bytes of Body nobody changes: another message may have the same.
type Message struct {
	System     System     // what IoT Hub knows by name
	Properties Properties // what the application set
	Body       []byte
}

// Size is what counts against size limits: the body and all keys and values of
// system and application properties, in bytes.
func (m *Message) Size() int {
	n := len(m.Body)
	for _, p := range m.Properties {
		n += len(p.Key) + len(p.Value)
	}
	for _, v := range m.System {
		n += len(v.Name.String()) + len(v.Value)
	}
	return n
}

// Property is one application property.
type Property struct{ Key, Value string }

// Properties are application properties in the order they were set. A key
// occurs once. Keys keep their case; [Properties.Lookup] ignores it, as the
// route language does.
type Properties []Property

// Get returns the value of the property with exactly this key.
func (p Properties) Get(key string) (string, bool) {
	for i := range p {
		if p[i].Key == key {
			return p[i].Value, true
		}
	}
	return "", false
}

// Lookup returns the value of the first property whose key equals key without
// regard to the case of letters.
func (p Properties) Lookup(key string) (string, bool) {
	for i := range p {
		if len(p[i].Key) == len(key) && strings.EqualFold(p[i].Key, key) {
			return p[i].Value, true
		}
	}
	return "", false
}

// Set adds a property, or replaces the value of the one with this key.
func (p *Properties) Set(key, value string) {
	for i := range *p {
		if (*p)[i].Key == key {
			(*p)[i].Value = value
			return
		}
	}
	*p = append(*p, Property{key, value})
}

// SystemName names a system property.
type SystemName uint8

// The system properties. Their String is the name that routes use after a
// dollar sign, which is edgeHub's own.
const (
	MessageID SystemName = iota + 1
	CorrelationID
	UserID
	To
	ExpiryTime // absolute, RFC 3339
	Ack        // feedback asked of a command: none, positive, negative, full
	ContentType
	ContentEncoding
	OutputName
	InputName
	MessageSchema
	CreationTime // as the device gave it
	Operation
	InterfaceID
	ComponentName // dt-subject
	EnqueuedTime  // RFC 3339, set by the hub that stores the message
	SequenceNumber
	LockToken
	DeliveryCount
	ConnectionDeviceID // the identity that sent the message; set by hubs, never by devices
	ConnectionModuleID
	ConnectionDeviceGenerationID
	ConnectionAuthMethod // JSON, as IoT Hub writes it
	ModelID
	MessageType
	EdgeMessageID
	EdgeOrigin // edgeHubOriginInterface: internal or downstream
	ReporterDeviceID
	ReporterModuleID
	Hops // modules passed, to stop loops; a gateway's own
	systemNames
)

var systemNameText = [systemNames]string{
	MessageID:                    "messageId",
	CorrelationID:                "cid",
	UserID:                       "userId",
	To:                           "to",
	ExpiryTime:                   "absolute-expiry-time",
	Ack:                          "ack",
	ContentType:                  "contentType",
	ContentEncoding:              "contentEncoding",
	OutputName:                   "outputName",
	InputName:                    "inputName",
	MessageSchema:                "messageSchema",
	CreationTime:                 "creationTime",
	Operation:                    "operation",
	InterfaceID:                  "iothub-interface-id",
	ComponentName:                "dt-subject",
	EnqueuedTime:                 "enqueuedTime",
	SequenceNumber:               "sequenceNumber",
	LockToken:                    "lockToken",
	DeliveryCount:                "deliveryCount",
	ConnectionDeviceID:           "connectionDeviceId",
	ConnectionModuleID:           "connectionModuleId",
	ConnectionDeviceGenerationID: "connectionDeviceGenerationId",
	ConnectionAuthMethod:         "connectionAuthMethod",
	ModelID:                      "modelId",
	MessageType:                  "messageType",
	EdgeMessageID:                "edgeMessageId",
	EdgeOrigin:                   "edgeHubOriginInterface",
	ReporterDeviceID:             "rpSenderDeviceId",
	ReporterModuleID:             "rpSenderModuleId",
	Hops:                         "sluice-hops",
}

// String is the name as routes write it, without the dollar sign; "" for a
// SystemName that is none of the constants.
func (n SystemName) String() string {
	if n >= systemNames {
		return ""
	}
	return systemNameText[n]
}

// ParseSystemName finds the system property that routes know by name, without
// regard to case.
func ParseSystemName(name string) (SystemName, bool) {
	for n := MessageID; n < systemNames; n++ {
		if strings.EqualFold(systemNameText[n], name) {
			return n, true
		}
	}
	return 0, false
}

// SystemValue is one system property and its value.
type SystemValue struct {
	Name  SystemName
	Value string
}

// System holds the system properties of a message, each at most once. It is a
// short list rather than a struct of thirty strings because a typical message
// has three.
type System []SystemValue

// Get returns the value of a property, or "" if it is not set. No system
// property distinguishes empty from absent.
func (s System) Get(n SystemName) string {
	for i := range s {
		if s[i].Name == n {
			return s[i].Value
		}
	}
	return ""
}

// Set sets a property; an empty value removes it.
func (s *System) Set(n SystemName, value string) {
	for i := range *s {
		if (*s)[i].Name != n {
			continue
		}
		if value == "" {
			*s = append((*s)[:i], (*s)[i+1:]...)
		} else {
			(*s)[i].Value = value
		}
		return
	}
	if value != "" {
		*s = append(*s, SystemValue{n, value})
	}
}

// Sender is the identity that sent the message, as the hub that took it noted.
func (m *Message) Sender() Identity {
	return Identity{m.System.Get(ConnectionDeviceID), m.System.Get(ConnectionModuleID)}
}

// Stamp notes the identity that sent the message, replacing whatever was there.
func (m *Message) Stamp(sender Identity) {
	m.System.Set(ConnectionDeviceID, sender.Device)
	m.System.Set(ConnectionModuleID, sender.Module)
}

// Expiry returns the absolute expiry time, or the zero time if none is set or
// it cannot be read.
func (m *Message) Expiry() time.Time {
	t, err := time.Parse(time.RFC3339Nano, m.System.Get(ExpiryTime))
	if err != nil {
		return time.Time{}
	}
	return t
}
