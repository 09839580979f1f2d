package cli

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"

	"sluice/internal/route"
	"sluice/iot"
)

// routeMessage is a message as the route commands read it.
type routeMessage struct {
	Source       string           `json:"source"` // instead of the system properties that make it
	Properties   route.Attributes `json:"properties"`
	System       route.Attributes `json:"system"`
	Body         json.RawMessage  `json:"body"`         // text as it is, or any other JSON
	BodyBase64   []byte           `json:"bodyBase64"`   // instead
	BodyEncoding string           `json:"bodyEncoding"` // of the body: utf-8, utf-16 or utf-32
}

// bytes are the bytes of the body.
func (m *routeMessage) bytes() ([]byte, error) {
	if m.BodyBase64 != nil {
		return m.BodyBase64, nil
	}
	text := string(m.Body)
	if strings.HasPrefix(text, `"`) {
		if err := json.Unmarshal(m.Body, &text); err != nil {
			return nil, err
		}
	}
	if text == "null" {
		text = ""
	}
	return encodeText(text, m.BodyEncoding)
}

func encodeText(text, encoding string) ([]byte, error) {
	var out []byte
	switch strings.ToLower(encoding) {
	case "", "utf-8":
		return []byte(text), nil
	case "utf-16":
		for _, u := range utf16.Encode([]rune(text)) {
			out = binary.LittleEndian.AppendUint16(out, u)
		}
	case "utf-32":
		for _, r := range text {
			out = binary.LittleEndian.AppendUint32(out, uint32(r))
		}
	default:
		return nil, fmt.Errorf("bodyEncoding %q is not utf-8, utf-16 or utf-32", encoding)
	}
	return out, nil
}

// sample is the message for a condition by itself.
func (m *routeMessage) sample() (*route.Sample, error) {
	body, err := m.bytes()
	return &route.Sample{Properties: m.Properties, System: m.System, Body: body}, err
}

// message is the message as a gateway would have it, and its source.
func (m *routeMessage) message() (*iot.Message, route.Source, error) {
	body, err := m.bytes()
	if err != nil {
		return nil, route.Source{}, err
	}
	out := &iot.Message{Body: body}
	for _, key := range sortedKeys(m.Properties) {
		if v := m.Properties[key]; v != nil {
			out.Properties.Set(key, *v)
		}
	}
	for _, key := range sortedKeys(m.System) {
		name, ok := iot.ParseSystemName(strings.TrimPrefix(key, "$"))
		if !ok {
			return nil, route.Source{}, unknownSystem(key)
		}
		if v := m.System[key]; v != nil {
			out.System.Set(name, *v)
		}
	}
	if m.Source != "" {
		err = setSource(out, m.Source)
	}
	return out, route.SourceOf(out), err
}

func sortedKeys(a route.Attributes) []string {
	keys := make([]string, 0, len(a))
	for k := range a {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func unknownSystem(key string) error {
	var names []string
	for n := iot.SystemName(1); n.String() != ""; n++ {
		names = append(names, n.String())
	}
	err := fmt.Errorf("messages have no system property %q", key)
	if strings.HasPrefix(strings.ToLower(key), "correlation") {
		return withHint(err, "the correlation id of a message is \"cid\"")
	}
	if best := nearest(key, names); best != "" {
		return withHint(err, "did you mean %q?", best)
	}
	return withHint(err, "properties of the application stand under \"properties\"")
}

// setSource gives a message the system properties that make its source.
func setSource(msg *iot.Message, path string) error {
	src, ok := route.ParseSource(path)
	if !ok {
		return withHint(fmt.Errorf("no message has the source %q", path),
			"sources of messages are /messages, /messages/modules/M, /messages/modules/M/outputs/O and /twinChangeNotifications")
	}
	if src.TwinChange {
		msg.System.Set(iot.MessageType, "twinChangeNotification")
	}
	msg.System.Set(iot.ConnectionModuleID, src.Module)
	msg.System.Set(iot.OutputName, src.Output)
	return nil
}
