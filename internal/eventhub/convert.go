package eventhub

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"sluice/amqp10"
	"sluice/internal/hubevent"
)

// convert makes an event of a message.
func convert(part string, m *amqp10.Message) *hubevent.Event {
	e := &hubevent.Event{Partition: partitionNumber(part)}
	system := map[string]string{}
	for _, a := range m.Annotations {
		switch name := string(a.Key); name {
		case "x-opt-sequence-number":
			e.Sequence = uint64(integer(a.Value))
		case "x-opt-offset":
			e.Offset, _ = strconv.ParseUint(text(a.Value), 10, 64) // Azure's may be no number
		case "x-opt-enqueued-time":
			e.Enqueued, _ = a.Value.(time.Time)
		case "iothub-message-source":
			e.Source = text(a.Value)
		default:
			if !strings.HasPrefix(name, "x-opt-") {
				system[name] = text(a.Value)
			}
		}
	}
	addProperties(system, m.Properties)
	application := make(map[string]string, len(m.ApplicationProperties))
	for _, p := range m.ApplicationProperties {
		application[p.Key] = text(p.Value)
	}
	e.SetBody(system["content-type"], body(m))
	e.Device, e.Module = system["iothub-connection-device-id"], system["iothub-connection-module-id"]
	e.System, e.Properties = system, application
	return e
}

func addProperties(system map[string]string, p *amqp10.Properties) {
	if p == nil {
		return
	}
	for name, v := range map[string]any{
		"message-id": p.MessageID, "correlation-id": p.CorrelationID, "user-id": p.UserID, "to": p.To,
		"content-type": string(p.ContentType), "content-encoding": string(p.ContentEncoding),
	} {
		if s := text(v); s != "" {
			system[name] = s
		}
	}
	if !p.AbsoluteExpiry.IsZero() {
		system["absolute-expiry-time"] = p.AbsoluteExpiry.UTC().Format(time.RFC3339Nano)
	}
}

func body(m *amqp10.Message) []byte {
	if m.Value != nil {
		return []byte(text(m.Value))
	}
	return bytes.Join(m.Data, nil)
}

// text writes a value of a property as people read it.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case amqp10.Symbol:
		return string(v)
	case []byte:
		return string(v)
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	}
	return fmt.Sprint(v)
}

func integer(v any) int64 {
	n, err := strconv.ParseInt(text(v), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
