package webhead

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"sluice/internal/hub/code"
	"sluice/iot"
)

// maxProperties bounds the application properties of one message.
const maxProperties = 1024

// appPrefix begins the headers that are application properties, and ownPrefix those
// whose names are IoT Hub's.
const (
	appPrefix = "iothub-app-"
	ownPrefix = "iothub-"
)

// systemNames are the headers that clients set, in lower case.
var systemNames = map[string]iot.SystemName{
	"iothub-messageid":         iot.MessageID,
	"iothub-correlationid":     iot.CorrelationID,
	"iothub-userid":            iot.UserID,
	"iothub-to":                iot.To,
	"iothub-expiry":            iot.ExpiryTime,
	"iothub-ack":               iot.Ack,
	"iothub-contenttype":       iot.ContentType,
	"iothub-contentencoding":   iot.ContentEncoding,
	"iothub-interface-id":      iot.InterfaceID,
	"iothub-message-schema":    iot.MessageSchema,
	"iothub-creation-time-utc": iot.CreationTime,
	"iothub-operation":         iot.Operation,
	"iothub-outputname":        iot.OutputName,
	"dt-subject":               iot.ComponentName,
}

// headerNames are systemNames the other way round, and what hubs set besides, as a
// command carries them.
var headerNames = func() map[iot.SystemName]string {
	names := map[iot.SystemName]string{
		iot.EnqueuedTime:   "iothub-enqueuedtime",
		iot.SequenceNumber: "iothub-sequencenumber",
	}
	for header, name := range systemNames {
		names[name] = header
	}
	return names
}()

// readHeaders reads the properties of a message from its request, in the order of
// their names. spelled gives the names as the client wrote them. The error is an
// [iot.Error] of kind Invalid.
func readHeaders(h http.Header, spelled func(lower string) string, m *iot.Message) error {
	for _, key := range slices.Sorted(maps.Keys(h)) {
		lower := strings.ToLower(key)
		if !strings.HasPrefix(lower, appPrefix) && systemNames[lower] == 0 {
			continue // HTTP's own, or only hubs'
		}
		name := lower
		if strings.HasPrefix(lower, appPrefix) {
			name = spelled(lower)
		}
		values := h[key]
		if err := setProperty(m, name, decoded(values[len(values)-1])); err != nil {
			return err
		}
	}
	return nil
}

// setProperty sets a property by the name of its header. Those that only hubs set are
// left out: a client that sets one is not believed.
func setProperty(m *iot.Message, header, value string) error {
	lower := strings.ToLower(header)
	if name, ok := systemNames[lower]; ok {
		if name == iot.ExpiryTime {
			value = expiry(value)
		}
		m.System.Set(name, value)
		return nil
	}
	name := header
	switch {
	case strings.HasPrefix(lower, appPrefix):
		name = header[len(appPrefix):]
	case strings.HasPrefix(lower, ownPrefix):
		return nil
	}
	if name == "" {
		return code.Errorf(code.ArgumentInvalid, "send", iot.Identity{}, "a property has no name")
	}
	m.Properties.Set(name, value)
	if len(m.Properties) > maxProperties {
		return code.Errorf(code.ArgumentInvalid, "send", iot.Identity{}, "more than %d properties", maxProperties)
	}
	return nil
}

// expiry is a time in the form that messages carry, if it is in one of HTTP's or
// ISO's.
func expiry(value string) string {
	t, err := time.Parse(time.RFC3339, value)
	if err != nil {
		t, err = http.ParseTime(value)
	}
	if err != nil {
		return value
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// decoded is a value that may be in Latin-1, as HTTP's were, and as Node.js writes
// them.
func decoded(value string) string {
	if utf8.ValidString(value) {
		return value
	}
	runes := make([]rune, 0, len(value))
	for i := range len(value) {
		runes = append(runes, rune(value[i]))
	}
	return string(runes)
}

// writeHeaders writes a command as the headers of an answer. Names keep their case.
// It reports false if a name or value cannot be in a header.
func writeHeaders(d *iot.Delivery) (h http.Header, ok bool) {
	h = http.Header{
		"ETag":                 {`"` + d.LockToken + `"`},
		"iothub-deliverycount": {strconv.Itoa(d.Count)},
	}
	set := func(name, value string) bool {
		h[name] = append(h[name], value)
		return isToken(name) && isValue(value)
	}
	for _, v := range d.Message.System {
		if name := headerNames[v.Name]; name != "" && !set(name, v.Value) {
			return nil, false
		}
	}
	for _, p := range d.Message.Properties {
		if !set(appPrefix+p.Key, p.Value) {
			return nil, false
		}
	}
	return h, isValue(d.LockToken) && !strings.Contains(d.LockToken, `"`)
}

// isToken reports whether name can be that of a header, RFC 9110 section 5.6.2.
func isToken(name string) bool {
	for i := range len(name) {
		c := name[i]
		alpha := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !alpha && !('0' <= c && c <= '9') && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return name != ""
}

// isValue reports whether value can be that of a header and is read as it was
// written, RFC 9110 section 5.5: it has no control characters, and no space around it.
func isValue(value string) bool {
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return strings.TrimSpace(value) == value
}
