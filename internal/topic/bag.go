// Package topic is the text that IoT Hub's MQTT clients write after their topic
// names: the property bag, which carries a message's system and application
// properties. The MQTT head reads and writes it towards devices, the uplink
// towards a hub.
//
// A bag is key=value pairs between ampersands, each url-encoded. Keys that begin
// with "$." are system properties.
package topic

import (
	"strings"
	"unicode/utf8"

	"sluice/iot"
)

// MaxProperties bounds the pairs of one bag.
const MaxProperties = 1024

// wireKeys are the keys of system properties on the wire.
var wireKeys = map[string]iot.SystemName{
	"$.mid":            iot.MessageID,
	"$.cid":            iot.CorrelationID,
	"$.uid":            iot.UserID,
	"$.to":             iot.To,
	"$.exp":            iot.ExpiryTime,
	"$.ct":             iot.ContentType,
	"$.ce":             iot.ContentEncoding,
	"$.on":             iot.OutputName,
	"$.schema":         iot.MessageSchema,
	"$.ctime":          iot.CreationTime,
	"$.ifid":           iot.InterfaceID,
	"$.sub":            iot.ComponentName,
	"iothub-operation": iot.Operation,
	"iothub-ack":       iot.Ack,
	"$.cdid":           iot.ConnectionDeviceID,
	"$.cmid":           iot.ConnectionModuleID,
}

// wireNames is wireKeys the other way round, indexed by name.
var wireNames = func() (names [256]string) {
	for key, name := range wireKeys {
		names[name] = key
	}
	return names
}()

// hubsOwn are the system properties that only hubs set. A device that writes
// one into its bag is not believed; the pair is dropped.
func hubsOwn(n iot.SystemName) bool {
	return n == iot.ConnectionDeviceID || n == iot.ConnectionModuleID
}

// ParseBag reads a bag that a client sent into the properties of m, which must
// have none yet. A key that occurs again replaces its value. An escape that is
// none is kept as it stands, as the original does.
//
// The error is an [iot.Error] of kind Invalid: more pairs than [MaxProperties],
// a pair without a key, or text that is not UTF-8 once decoded.
func ParseBag(bag string, m *iot.Message) error { return parseBag(bag, m, false) }

// ParseHubBag is ParseBag for a bag that a hub or gateway sent, which is believed
// when it says which identity sent the message.
func ParseHubBag(bag string, m *iot.Message) error { return parseBag(bag, m, true) }

func parseBag(bag string, m *iot.Message, believe bool) error {
	if bag == "" {
		return nil
	}
	pairs := strings.Count(bag, "&") + 1
	if pairs > MaxProperties {
		return invalid("more than %d properties", MaxProperties)
	}
	for pair := range strings.SplitSeq(bag, "&") {
		if pair == "" {
			continue
		}
		rawKey, rawValue, _ := strings.Cut(pair, "=")
		key, value := Unescape(rawKey), Unescape(rawValue)
		switch {
		case key == "":
			return invalid("a property has no name")
		case !utf8.ValidString(key) || !utf8.ValidString(value):
			return invalid("a property is not UTF-8")
		}
		name, isSystem := wireKeys[key]
		switch {
		case !isSystem:
			if m.Properties == nil {
				m.Properties = make(iot.Properties, 0, pairs)
			}
			m.Properties.Set(key, value)
		case believe || !hubsOwn(name):
			m.System.Set(name, value)
		}
	}
	return nil
}

func invalid(format string, args ...any) error {
	return iot.Errorf(iot.Invalid, "property bag", iot.Identity{}, format, args...)
}

// AppendBag appends the bag of m: its system properties that have a key on the
// wire, then its application properties, in their order. With sender it also
// says which identity sent the message, as a module on a gateway is told.
func AppendBag(b []byte, m *iot.Message, sender bool) []byte {
	start := len(b)
	pair := func(key, value string) {
		if len(b) > start {
			b = append(b, '&')
		}
		b = appendEscaped(b, key)
		b = append(b, '=')
		b = appendEscaped(b, value)
	}
	for _, v := range m.System {
		if key := wireNames[v.Name]; key != "" && (sender || !hubsOwn(v.Name)) {
			pair(key, v.Value)
		}
	}
	for _, p := range m.Properties {
		pair(p.Key, p.Value)
	}
	return b
}

const hexDigits = "0123456789ABCDEF"

// plain are the bytes that JavaScript's encodeURIComponent leaves alone, and
// the dollar sign, which the SDKs put into system keys unescaped.
var plain = func() (ok [256]bool) {
	for _, c := range []byte("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.!~*'()$") {
		ok[c] = true
	}
	return ok
}()

func appendEscaped(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if c := s[i]; plain[c] {
			b = append(b, c)
		} else {
			b = append(b, '%', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return b
}

// Escape url-encodes one part of a topic.
func Escape(s string) string { return string(appendEscaped(nil, s)) }

// Unescape decodes the %XX of one part of a topic, once. A plus sign is a plus
// sign, and an escape that is none stays as it is.
func Unescape(s string) string {
	at := strings.IndexByte(s, '%')
	if at < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	b = append(b, s[:at]...)
	for i := at; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if hi, lo := nibble(s[i+1]), nibble(s[i+2]); hi >= 0 && lo >= 0 {
				b = append(b, byte(hi<<4|lo))
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

func nibble(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// Telemetry is the topic on which an identity publishes messages with this bag.
func Telemetry(id iot.Identity, m *iot.Message) string {
	b := make([]byte, 0, 128)
	b = append(b, "devices/"...)
	b = append(b, id.Device...)
	if id.IsModule() {
		b = append(b, "/modules/"...)
		b = append(b, id.Module...)
	}
	b = append(b, "/messages/events/"...)
	return string(AppendBag(b, m, false))
}
